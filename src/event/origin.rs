//! How a delivery came here.

use super::Stage;

/// How a delivery came here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// A webhook brought it.
    #[default]
    Webhook,
    /// It was missed, and fetched from the sender's API as the event of this stage.
    Reconcile(Stage),
}

impl Origin {
    /// The word for it, in events, listings and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Reconcile(_) => "reconcile",
        }
    }
}
