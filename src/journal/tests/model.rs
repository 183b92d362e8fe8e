//! Any sequence of appends, settles, crashes and reopenings, against a model that is a list.

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        webhook: usize,
        id: Option<u8>,
        body: u8,
    },
    Settle {
        count: u64,
        flushed: bool,
    },
    MarkDead {
        nth: usize,
    },
    RaiseOutSeq {
        above: u64,
    },
    Crash,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..2, prop::option::of(0u8..4), 0u8..3)
            .prop_map(|(webhook, id, body)| Step::Append { webhook, id, body }),
        3 => (1u64..5, any::<bool>()).prop_map(|(count, flushed)| Step::Settle { count, flushed }),
        1 => (0usize..3).prop_map(|nth| Step::MarkDead { nth }),
        1 => (0u64..20).prop_map(|above| Step::RaiseOutSeq { above }),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct ModelRow {
    webhook: &'static str,
    own_id: String,
    id: String,
    body: String,
    out_seq: u64,
    dead: bool,
}

/// What should be in the journal.
struct Model {
    rows: Vec<ModelRow>,
    next_out_seq: u64,
    settled: u64,
    settled_on_disk: u64,
}

impl Model {
    fn append(&mut self, webhook: &'static str, own_id: String, body: String) -> Appended {
        let same_id = |r: &&ModelRow| r.webhook == webhook && r.own_id == own_id;
        if let Some(row) = self.rows.iter().find(|r| same_id(r) && r.body == body) {
            let (id, out_seq) = (row.id.clone(), row.out_seq);
            return Appended {
                kind: AppendedKind::Duplicate,
                id,
                out_seq,
            };
        }
        let hash: [u8; 32] =
            sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&body)).into();
        let known = self.rows.iter().any(|r| same_id(&r));
        let id = if known {
            format!("{own_id}-{}", hex::encode(&hash[..4]))
        } else {
            own_id.clone()
        };
        let out_seq = self.next_out_seq;
        self.next_out_seq += 1;
        self.rows.push(ModelRow {
            webhook,
            own_id,
            id: id.clone(),
            body,
            out_seq,
            dead: false,
        });
        Appended {
            kind: AppendedKind::Stored,
            id,
            out_seq,
        }
    }

    fn pending(&self) -> Vec<ModelRow> {
        self.rows
            .iter()
            .filter(|r| !r.dead && r.out_seq >= self.settled)
            .cloned()
            .collect()
    }

    fn raise(&mut self, at_least: u64) {
        let settled = self.settled;
        let mut pending: Vec<_> = self
            .rows
            .iter_mut()
            .filter(|r| !r.dead && r.out_seq >= settled)
            .collect();
        let first = at_least.max(self.next_out_seq);
        self.next_out_seq = first;
        if pending.first().is_some_and(|r| r.out_seq < at_least) {
            for row in &mut pending {
                row.out_seq = self.next_out_seq;
                self.next_out_seq += 1;
            }
            self.settled = first;
        }
    }
}

/// The journal under test, wherever the last crash has left it.
struct Subject {
    dir: TempDir,
    path: PathBuf,
    journal: Option<Journal>,
    crashes: u32,
    options: Options,
}

impl Subject {
    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn reopen(&mut self, crash: bool) {
        if crash {
            self.crashes += 1;
            let to = self.dir.path().join(format!("{}/journal.db", self.crashes));
            crash_copy(&self.path, &to);
            self.path = to;
        }
        self.journal = None;
        self.journal = Some(Journal::open_with(&self.path, &self.options).unwrap());
    }
}

fn run(steps: Vec<Step>, retention: Duration) {
    let (dir, path) = temp();
    let options = Options {
        retention,
        ..Options::default()
    };
    let journal = Journal::open_with(&path, &options).unwrap();
    let mut subject = Subject {
        dir,
        path,
        journal: Some(journal),
        crashes: 0,
        options,
    };
    let mut model = Model {
        rows: Vec::new(),
        next_out_seq: 1,
        settled: 1,
        settled_on_disk: 1,
    };
    for step in steps {
        apply(&step, &mut subject, &mut model);
        compare(&subject, &model);
    }
}

fn apply(step: &Step, subject: &mut Subject, model: &mut Model) {
    match step {
        Step::Append { webhook, id, body } => {
            let webhook = ["default", "sales"][*webhook];
            let (text, own_id) = body_of(*id, *body);
            let got = append(subject.journal(), webhook, &text).unwrap();
            assert_eq!(got, model.append(webhook, own_id, text));
        }
        Step::Settle { count, flushed } => {
            let below = (model.settled + count).min(model.next_out_seq);
            subject.journal().settle(model.settled + count);
            model.settled = below;
            if *flushed {
                subject.journal().flush().unwrap();
                model.settled_on_disk = below;
            }
        }
        Step::MarkDead { nth } => {
            let Some(row) = model.pending().get(*nth).cloned() else {
                return;
            };
            subject
                .journal()
                .mark_dead(row.out_seq, "too large")
                .unwrap();
            let row = model
                .rows
                .iter_mut()
                .find(|r| r.out_seq == row.out_seq)
                .unwrap();
            row.dead = true;
        }
        Step::RaiseOutSeq { above } => {
            subject.journal().flush().unwrap();
            let at_least = (model.next_out_seq + above).saturating_sub(5);
            subject.journal().raise_out_seq(at_least).unwrap();
            model.raise(at_least);
            model.settled_on_disk = model.settled;
        }
        Step::Crash => {
            subject.reopen(true);
            let settled = subject.journal().settled();
            assert!((model.settled_on_disk..=model.settled).contains(&settled));
            model.settled = settled;
        }
        Step::Reopen => subject.reopen(false),
    }
    model.settled_on_disk = model.settled_on_disk.min(model.settled);
}

fn compare(subject: &Subject, model: &Model) {
    let journal = subject.journal();
    assert_eq!(journal.settled(), model.settled);
    assert_eq!(journal.wait_above(0, Duration::ZERO), model.next_out_seq);
    let mut reader = journal.reader().unwrap();
    let rows = reader
        .pending(journal.settled(), usize::MAX, usize::MAX)
        .unwrap();
    let got: Vec<_> = rows
        .iter()
        .map(|r| (r.out_seq, &*r.webhook, &*r.id, &*r.body))
        .collect();
    let pending = model.pending();
    let want: Vec<_> = pending
        .iter()
        .map(|r| (r.out_seq, r.webhook, &*r.id, r.body.as_bytes()))
        .collect();
    assert_eq!(got, want);
    assert!(rows.iter().all(|row| row.intact));
    for row in model
        .rows
        .iter()
        .enumerate()
        .filter(|(_, r)| r.dead)
        .map(|(at, _)| at)
    {
        let viewer = read::Viewer::open(&subject.path).unwrap();
        let (entry, _, body, intact) = viewer.show(row as u64 + 1).unwrap().unwrap();
        assert_eq!(entry.state, read::State::Dead);
        assert_eq!(body.as_deref(), Some(model.rows[row].body.as_bytes()));
        assert!(intact);
    }
}

fn body_of(id: Option<u8>, body: u8) -> (String, String) {
    match id {
        Some(id) => (format!(r#"{{"n":{body},"id":"d{id}"}}"#), format!("d{id}")),
        None => {
            let text = format!(r#"{{"n":{body}}}"#);
            let hash: [u8; 32] =
                sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&text))
                    .into();
            (text, format!("sha256-{}", hex::encode(&hash[..16])))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn journal_does_what_a_list_would(steps in vec(step(), 1..60)) {
        run(steps, Duration::from_secs(3600));
    }

    #[test]
    fn retention_takes_nothing_that_is_pending_or_dead(steps in vec(step(), 1..60)) {
        run(steps, Duration::ZERO);
    }
}
