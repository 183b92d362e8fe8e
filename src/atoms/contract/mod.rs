//! The API of the sender, as far as the bridge uses it or its simulator plays it: one table, the one place to change when
//! the API changes.
//!
//! [`crate::atoms::client`] makes its requests from these entries, the simulator routes by them, and [`judge`] says where a
//! request or an answer of either departs from them. What the API documents but nobody here needs is not listed.

mod shape;
mod table;

use serde_json::Value;

use crate::event::fold;

pub use self::shape::{Field, Shape};
pub use self::table::{
    AGENTS, ALL, CALL, CALLS, CREATE_WEBHOOK, DELETE_WEBHOOK, RETRIES, SEARCH_CALLS, SUBSCRIBE,
    SUBSCRIPTIONS, UNSUBSCRIBE, UPDATE_WEBHOOK, WEBHOOKS,
};

/// The most calls that a page of the list holds; a larger number is silently taken for this one.
pub const LARGEST_PAGE: u32 = 500;
/// How many calls a page holds when nobody says.
pub const DEFAULT_PAGE: u32 = 5;
/// The most calls that one search asks for.
pub const MOST_SEARCHED: usize = 100;
/// The most static headers of a webhook.
pub const MOST_HEADERS: usize = 10;
/// The longest value of a static header, in characters.
pub const LONGEST_HEADER_VALUE: usize = 1024;
/// Requests a second on the smallest plan.
pub const SLOWEST_PLAN: u32 = 10;

/// One call of the API.
#[derive(Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the API's root; `{…}` stands for an id.
    pub path: &'static str,
    /// What may stand in the query.
    pub query: &'static [Parameter],
    /// What is sent; `None`: nothing.
    pub body: Option<Shape>,
    /// The status of an answer that it was done.
    pub done: u16,
    /// `data` of that answer.
    pub data: Shape,
    /// Whether asking twice does what asking once does.
    pub repeatable: Repeatable,
}

/// A parameter in the query.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub value: ParameterValue,
}

/// What a parameter may be.
#[derive(Debug)]
pub enum ParameterValue {
    /// A number from 1 to this.
    UpTo(u32),
    /// One of these words.
    Word(&'static [&'static str]),
    /// An id.
    Id,
}

/// Whether asking twice does what asking once does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// It does: an answer that was lost may be asked for again.
    Yes,
    /// It makes a second one, or fails since the first was done.
    No,
}

/// A request and its answer, as they went over the wire.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path below the API's root.
    pub path: &'a str,
    /// The query's parameters, decoded.
    pub query: &'a [(String, String)],
    /// What was sent.
    pub sent: &'a [u8],
    /// The status of the answer.
    pub status: u16,
    /// What came back.
    pub answered: &'a [u8],
}

impl Call {
    /// The ids in a path, if it is this call's.
    pub fn ids<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        let mut ids = Vec::new();
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(ids),
                (Some(own), Some(id)) if own.starts_with('{') && is_id(id) => ids.push(id),
                (Some(own), Some(given)) if own == given => {}
                _ => return None,
            }
        }
    }

    fn request_departures(&self, exchange: &Exchange<'_>) -> Vec<String> {
        let mut departures: Vec<String> = exchange
            .query
            .iter()
            .filter(|(name, value)| !self.allows(name, value))
            .map(|(name, _)| format!("query parameter {name} is unknown or does not fit"))
            .collect();
        match (&self.body, exchange.sent) {
            (None, []) => {}
            (None, _) => departures.push("a body was sent where none belongs".to_owned()),
            (Some(shape), sent) => match serde_json::from_slice(sent) {
                Ok(value) => departures.extend(shape.departures(&value, "sent")),
                Err(_) => departures.push("what was sent is not JSON".to_owned()),
            },
        }
        departures
    }

    fn allows(&self, name: &str, value: &str) -> bool {
        let parameter = self.query.iter().find(|parameter| parameter.name == name);
        parameter.is_some_and(|parameter| match parameter.value {
            ParameterValue::UpTo(most) => value
                .parse()
                .is_ok_and(|number| (1..=most).contains(&number)),
            ParameterValue::Word(words) => words.contains(&value),
            ParameterValue::Id => is_id(value),
        })
    }

    fn answer_departures(&self, status: u16, answered: &[u8]) -> Vec<String> {
        let Ok(answer) = serde_json::from_slice::<Value>(answered) else {
            return vec!["the answer is not JSON".to_owned()];
        };
        if status >= 400 {
            return table::FAILED.departures(&answer, "answer");
        }
        let mut departures = table::DONE.departures(&answer, "answer");
        if status != self.done {
            departures.push(format!("the status is {status} in place of {}", self.done));
        }
        if let Some(data) = answer.get("data") {
            departures.extend(self.data.departures(data, "data"));
        }
        departures
    }
}

/// The call that a method and a path belong to.
pub fn find(method: &str, path: &str) -> Option<&'static Call> {
    ALL.into_iter()
        .find(|call| call.method == method && call.ids(path).is_some())
}

/// Where a request and its answer depart from the table; nothing when they do not.
///
/// A request that departs and is refused with 400 departs all the same: nobody here is to make it.
pub fn judge(exchange: &Exchange<'_>) -> Vec<String> {
    let Some(call) = find(exchange.method, exchange.path) else {
        return vec!["no such call".to_owned()];
    };
    let mut departures = call.request_departures(exchange);
    departures.extend(call.answer_departures(exchange.status, exchange.answered));
    departures
}

/// Whether a call of this status has not ended yet.
pub fn goes_on(status: &str) -> bool {
    let folded = |word: &str| word.chars().map(fold).collect::<String>();
    let status = folded(status.trim());
    status.is_empty() || table::GOING_ON.iter().any(|word| folded(word) == status)
}

/// Whether a text can be an id in a path: nothing that would lead elsewhere.
pub fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests;
