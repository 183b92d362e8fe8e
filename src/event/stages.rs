//! A set of the three types that every call has. Pure.

use super::Stage;

/// Some of the three types, or all, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Stages(u8);

impl Stages {
    /// All three.
    pub const ALL: Self = Self(0b111);
    /// None.
    pub const NONE: Self = Self(0);

    /// The set that [`Stages::bits`] says.
    pub fn of_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// One bit for each, the first stage's the lowest.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether it is in it.
    pub fn contains(self, stage: Stage) -> bool {
        self.0 & bit(stage) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With this one.
    #[must_use]
    pub fn with(self, stage: Stage) -> Self {
        Self(self.0 | bit(stage))
    }

    /// Without this one.
    #[must_use]
    pub fn without(self, stage: Stage) -> Self {
        Self(self.0 & !bit(stage))
    }

    /// Those of either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this one that are not in the other.
    #[must_use]
    pub fn but(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that it has, in order.
    pub fn iter(self) -> impl Iterator<Item = Stage> {
        Stage::ALL
            .into_iter()
            .filter(move |stage| self.contains(*stage))
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl FromIterator<Stage> for Stages {
    fn from_iter<I: IntoIterator<Item = Stage>>(stages: I) -> Self {
        stages.into_iter().fold(Self::NONE, Self::with)
    }
}

fn bit(stage: Stage) -> u8 {
    1 << (stage.number() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_and_taken_away() {
        let [pre, post, analytics] = Stage::ALL;
        let some: Stages = [pre, analytics].into_iter().collect();
        assert_eq!(some.bits(), 0b101);
        assert_eq!(Stages::of_bits(0b1101), some);
        assert_eq!(Stages::ALL.but(some), Stages::NONE.with(post));
        assert_eq!(some.and(Stages::NONE.with(post)), Stages::ALL);
        assert_eq!(some.without(pre).iter().collect::<Vec<_>>(), [analytics]);
        assert!(Stages::NONE.is_empty() && !some.contains(post));
        assert_eq!(some.count(), 2);
    }
}
