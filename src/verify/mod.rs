//! Turns a [`Delivery`] into a [`VerifiedDelivery`], or says that it is none.

pub mod secret;

use crate::receive::delivery::{Delivery, KeptHeaders, WebhookName};
use crate::time::Timestamp;

/// A delivery whose signature matched; only this module makes one.
#[derive(Debug)]
pub struct VerifiedDelivery(Delivery);

impl VerifiedDelivery {
    #[cfg(test)]
    pub(crate) fn for_test(delivery: Delivery) -> Self {
        Self(delivery)
    }

    /// The webhook that it was posted to.
    pub fn webhook(&self) -> &WebhookName {
        &self.0.webhook
    }

    /// When its body was complete.
    pub fn received_at(&self) -> Timestamp {
        self.0.received_at
    }

    /// Headers worth keeping.
    pub fn headers(&self) -> &KeptHeaders {
        &self.0.headers
    }

    /// The raw body, as signed.
    pub fn body(&self) -> &bytes::Bytes {
        &self.0.body
    }
}
