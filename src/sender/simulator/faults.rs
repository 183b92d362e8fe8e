//! Which requests go wrong, and how.

use std::collections::VecDeque;
use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// This status, though all was in order. Nothing is done.
    Status(u16),
    /// It is done, and the answer is this status all the same.
    DoneBut(u16),
    /// 429, saying in the header or in the body after how many seconds to come back, or nowhere.
    TooMany {
        /// `Retry-After`.
        header: Option<u32>,
        /// `retry_after`.
        body: Option<f64>,
    },
    /// The answer ends in its middle.
    BrokenJson,
    /// Something that is no JSON at all, as a proxy may say it.
    Html,
    /// No answer, ever.
    Silence,
    /// The right answer, so late.
    Slow(Duration),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    next: VecDeque<(Option<&'static str>, Fault)>,
    every: Option<(u64, Vec<Fault>)>,
    requests: u64,
    pub(super) away: bool,
}

impl Faults {
    pub(super) fn next(&mut self, path: Option<&'static str>, fault: Fault) {
        self.next.push_back((path, fault));
    }

    pub(super) fn every(&mut self, requests: u64, faults: Vec<Fault>) {
        self.every = Some((requests.max(1), faults));
    }

    /// What happens to a request to this path of the table.
    pub(super) fn take(&mut self, path: &str) -> Option<Fault> {
        self.requests += 1;
        if self.away {
            return Some(Fault::Status(503));
        }
        let meant = |(of, _): &(Option<&str>, Fault)| of.is_none_or(|of| of == path);
        if let Some(at) = self.next.iter().position(meant) {
            return self.next.remove(at).map(|(_, fault)| fault);
        }
        let (every, faults) = self.every.as_ref()?;
        let turn = self
            .requests
            .is_multiple_of(*every)
            .then(|| self.requests / every)?;
        let count = u64::try_from(faults.len())
            .ok()
            .filter(|count| *count > 0)?;
        faults.get(usize::try_from(turn % count).ok()?).copied()
    }
}
