//! Deliveries as rows of a table, alike on every page.

use maud::{Markup, html};

use super::desk::{Desk, Trouble};
use super::page::{Mood, moment, state};
use crate::journal::read::{Entry, State};
use crate::journal::search::Found;

/// A delivery as it is shown: what the index knows of it, and what the journal says now.
pub(super) struct Shown {
    pub(super) found: Found,
    /// `None` once retention has taken it.
    pub(super) entry: Option<Entry>,
}

impl Shown {
    pub(super) fn of(desk: &Desk, found: Found) -> Result<Self, Trouble> {
        let entry = desk.viewer.entry(found.seq)?;
        Ok(Self { found, entry })
    }

    /// Why it is no event; not what a replay has made untrue.
    pub(super) fn fault(&self) -> Option<&str> {
        let fault = self.found.fault.as_ref()?;
        let entry = self.entry.as_ref();
        let holds = fault
            .out_seq
            .is_none_or(|out_seq| entry.is_none_or(|entry| entry.out_seq == out_seq));
        holds.then_some(fault.reason.as_str())
    }

    pub(super) fn standing(&self) -> Standing {
        let letter = self.fault().is_some();
        match self.entry.as_ref().map(|entry| entry.state) {
            None => Standing::Gone,
            Some(State::Dead) => Standing::Dead,
            Some(State::Pending) => Standing::Pending,
            Some(State::Published) if letter => Standing::DeadLetter,
            Some(State::Published) => Standing::Published,
        }
    }
}

/// What became of a delivery, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Pending,
    Published,
    /// On the dead-letter topic.
    DeadLetter,
    /// On no topic; kept.
    Dead,
    /// Not in the journal any more.
    Gone,
}

impl Standing {
    pub(super) fn shown(self) -> Markup {
        match self {
            Self::Pending => state(Mood::Waits, "pending"),
            Self::Published => state(Mood::Well, "published"),
            Self::DeadLetter => state(Mood::Ill, "dead letter"),
            Self::Dead => state(Mood::Ill, "dead"),
            Self::Gone => state(Mood::Neither, "gone"),
        }
    }
}

/// The table's head.
pub(super) fn head() -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Received" }
            th scope="col" { "State" }
            th scope="col" { "Type" }
            th scope="col" { "Call" }
            th.wide scope="col" { "Agent" }
            th.wide scope="col" { "Webhook" }
            th.wide.number scope="col" { "Bytes" }
            th.number scope="col" { "Delivery" }
        } }
    }
}

/// A delivery as a row.
pub(super) fn row(shown: &Shown, desk: &Desk) -> Markup {
    let Shown { found, entry } = shown;
    let bytes = entry.as_ref().and_then(|entry| entry.body_bytes);
    html! {
        tr id=(row_id(found.seq)) {
            td.when { (moment(found.received_at, desk.now)) }
            td.standing { (shown.standing().shown()) }
            td.type { (event_type(shown)) }
            td.call { (call_link(found.call_id.as_deref())) }
            td.wide.agent { (found.agent_id.as_deref().unwrap_or_default()) }
            td.wide { (found.webhook) }
            td.wide.number { @if let Some(bytes) = bytes { (super::page::number(bytes)) } }
            td.number { (delivery_link(found.seq)) }
        }
    }
}

pub(super) fn row_id(seq: u64) -> String {
    format!("delivery-{seq}")
}

pub(super) fn delivery_link(seq: u64) -> Markup {
    html! { a href=(format!("/deliveries/{seq}")) { (seq) } }
}

/// A call that nobody can look up is nothing to click on.
pub(super) fn call_link(call_id: Option<&str>) -> Markup {
    html! { @if let Some(call_id) = call_id { a href=(call_path(call_id)) { bdi { (call_id) } } } }
}

pub(super) fn call_path(call_id: &str) -> String {
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("id", call_id)
        .finish();
    format!("/call?{query}")
}

fn event_type(shown: &Shown) -> Markup {
    match (shown.fault(), shown.found.event_type.as_deref()) {
        (_, Some(event_type)) => html! { (event_type) },
        (Some(reason), None) => html! { span.muted { (reason) } },
        (None, None) => html! {},
    }
}
