//! The three types that every call has, and how the sender spells them. Pure.

/// The three types that every call has, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The call is about to start.
    PreConversation,
    /// The call has ended.
    PostConversation,
    /// Its evaluation is ready.
    AnalyticsCompleted,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 3] = [
        Self::PreConversation,
        Self::PostConversation,
        Self::AnalyticsCompleted,
    ];

    /// Its name as the canonical type and the end of its topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreConversation => "pre-conversation",
            Self::PostConversation => "post-conversation",
            Self::AnalyticsCompleted => "analytics-completed",
        }
    }

    /// 1, 2 or 3.
    pub fn number(self) -> u8 {
        match self {
            Self::PreConversation => 1,
            Self::PostConversation => 2,
            Self::AnalyticsCompleted => 3,
        }
    }

    /// The stage of a [`Stage::number`].
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.number() == number)
    }

    /// Reads any of the sender's spellings.
    pub fn parse(spelling: &str) -> Option<Self> {
        let is = |known: &&str| {
            let folded = spelling.chars().map(fold);
            spelling.len() == known.len() && folded.eq(known.chars())
        };
        let of = |stage: &Self| stage.spellings().iter().any(is);
        Self::ALL.into_iter().find(of)
    }

    /// The sender's spellings, folded.
    fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::PreConversation => &["pre-conversation", "start", "call-start", "call-started"],
            Self::PostConversation => &["post-conversation", "end", "call-end", "call-ended"],
            Self::AnalyticsCompleted => &["analytics-completed"],
        }
    }
}

/// How a word is compared: without regard to case, and with `.`, `_` and space as `-`.
pub fn fold(c: char) -> char {
    match c {
        '.' | '_' | ' ' => '-',
        _ => c.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_three_is_folded() {
        for (spelling, stage) in [
            ("pre-conversation", Stage::PreConversation),
            ("Start", Stage::PreConversation),
            ("call.start", Stage::PreConversation),
            ("call.started", Stage::PreConversation),
            ("CALL_STARTED", Stage::PreConversation),
            ("post_conversation", Stage::PostConversation),
            ("End", Stage::PostConversation),
            ("call.end", Stage::PostConversation),
            ("call ended", Stage::PostConversation),
            ("Analytics Completed", Stage::AnalyticsCompleted),
            ("analytics.completed", Stage::AnalyticsCompleted),
            ("ANALYTICS_COMPLETED", Stage::AnalyticsCompleted),
        ] {
            assert_eq!(Stage::parse(spelling), Some(stage), "{spelling}");
        }
        for other in ["call.transferred", "", "started", "conversation"] {
            assert_eq!(Stage::parse(other), None, "{other}");
        }
    }
}
