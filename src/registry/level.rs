//! Compatibility levels: which schema may follow which under a subject.

use std::fmt;
use std::str::FromStr;

/// What a registry asks of a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    None,
    /// Its readers can read what the version before wrote.
    Backward,
    /// The same of all versions before.
    BackwardTransitive,
    /// Readers of the version before can read what it writes.
    Forward,
    /// The same of all versions before.
    ForwardTransitive,
    /// Both, as to the version before.
    Full,
    /// Both, as to all versions before.
    FullTransitive,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// As registries spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether this forbids all that `other` forbids.
    pub fn implies(self, other: Self) -> bool {
        let (own, others) = (self.demands(), other.demands());
        let none = other == Self::None;
        none || own.0 >= others.0 && own.1 >= others.1 && own.2 >= others.2
    }

    /// Whether readers of an earlier version must be able to read a later one's events.
    pub fn is_forward(self) -> bool {
        self.demands().1
    }

    /// Backward, forward, of all versions.
    fn demands(self) -> (bool, bool, bool) {
        match self {
            Self::None => (false, false, false),
            Self::Backward => (true, false, false),
            Self::BackwardTransitive => (true, false, true),
            Self::Forward => (false, true, false),
            Self::ForwardTransitive => (false, true, true),
            Self::Full => (true, true, false),
            Self::FullTransitive => (true, true, true),
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let same = |level: &Self| level.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(same).ok_or(())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_implies_what_it_forbids_too() {
        for (strict, lax, expected) in [
            (Level::FullTransitive, Level::ForwardTransitive, true),
            (Level::ForwardTransitive, Level::Forward, true),
            (Level::Forward, Level::ForwardTransitive, false),
            (Level::Full, Level::ForwardTransitive, false),
            (Level::Backward, Level::Forward, false),
            (Level::Backward, Level::None, true),
            (Level::None, Level::None, true),
            (Level::None, Level::Backward, false),
        ] {
            assert_eq!(strict.implies(lax), expected, "{strict} implies {lax}");
        }
        assert_eq!("full_transitive".parse(), Ok(Level::FullTransitive));
        assert_eq!("FULLY".parse::<Level>(), Err(()));
    }
}
