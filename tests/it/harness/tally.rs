//! Which deliveries were answered 200 and which were refused, and whether what is found again agrees.

use std::collections::BTreeSet;
use std::io;

use super::bridge::post;
use super::http::{Answer, Client};
use super::{calls, kcat};

/// What a test's deliveries were answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Ids of those that were answered 200.
    pub(crate) accepted: BTreeSet<String>,
    /// Ids of those that were answered 503, each with a `Retry-After`, or not at all.
    pub(crate) refused: BTreeSet<String>,
    next_step: usize,
}

impl Tally {
    /// Posts the next delivery of a call, of about so many bytes more than its least; its status, 0 without an answer.
    pub(crate) fn post(&mut self, client: &mut Client, call: &str, more_bytes: usize) -> u16 {
        let step = self.next_step;
        self.next_step += 1;
        let answer = post(client, "default", &padded(call, step, more_bytes));
        self.enter(calls::id(call, step), answer)
    }

    /// Notes what a delivery was answered.
    pub(crate) fn enter(&mut self, id: String, answer: io::Result<Answer>) -> u16 {
        let status = match answer {
            Ok(answer) => {
                let retry = answer
                    .header("retry-after")
                    .and_then(|text| text.parse::<u32>().ok());
                assert!(
                    answer.status == 200 || (answer.status == 503 && retry > Some(0)),
                    "{answer:?}"
                );
                answer.status
            }
            Err(_) => 0,
        };
        if status == 200 {
            self.accepted.insert(id);
        } else {
            self.refused.insert(id);
        }
        status
    }

    /// Takes in what another tally noted.
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refused.extend(other.refused);
    }

    /// Judges the topics: every accepted delivery once and in order, and nothing else.
    pub(crate) fn judge(&self, broker: &str, prefix: &str) {
        calls::judge(broker, prefix, &self.accepted);
    }

    /// Judges the topics where a refused delivery may be there all the same: its commit reached the disk, and then the
    /// process died before it could know. Returns how many were.
    pub(crate) fn judge_with_late_commits(&self, broker: &str, prefix: &str) -> usize {
        let mut wanted = self.accepted.clone();
        for topic in calls::TOPICS {
            let records = kcat::try_read(broker, &format!("{prefix}{topic}")).unwrap_or_default();
            let found = records.iter().filter_map(|record| record.header("ce_id"));
            wanted.extend(
                found
                    .filter(|id| self.refused.contains(*id))
                    .map(str::to_owned),
            );
        }
        calls::judge(broker, prefix, &wanted);
        wanted.len() - self.accepted.len()
    }
}

/// [`calls::delivery`] with so many bytes more.
pub(crate) fn padded(call: &str, step: usize, more_bytes: usize) -> Vec<u8> {
    let body = calls::delivery(call, step);
    if more_bytes == 0 {
        return body;
    }
    let pad = format!("{{\"padding\":\"{}\",", "p".repeat(more_bytes));
    [pad.as_bytes(), &body[1..]].concat()
}
