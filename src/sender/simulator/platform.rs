//! Delivers what is due: signed, with the webhook's headers, once; a failed delivery is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::event::Stage;
use crate::sender::post::Poster;
use crate::verify::secret::Secret;

/// Which deliveries get lost on the way, as when nobody can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// So many of a hundred, evenly spread.
    Percent(u8, u64),
    /// All.
    All,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The call.
    pub call_id: String,
    /// What it tells of.
    pub stage: Stage,
    /// The webhook that it was for.
    pub webhook_id: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Taken,
    /// Another status.
    Refused(u16),
    /// No answer.
    NoAnswer,
    /// It got lost on purpose.
    Lost,
}

impl Loss {
    /// So many of a hundred.
    pub fn percent(percent: u8) -> Self {
        Self::Percent(percent.min(100), 0)
    }

    /// Whether the next delivery gets lost.
    pub(super) fn takes(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Percent(percent, spent) => {
                *spent += u64::from(*percent);
                let lost = *spent >= 100;
                if lost {
                    *spent -= 100;
                }
                lost
            }
        }
    }
}

/// A delivery that is to be made.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) webhook_id: String,
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// A client for each webhook, made when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Posters(Mutex<HashMap<Target, Poster>>);

/// A webhook, with the address and the headers that it has at the time.
type Target = (String, String, BTreeMap<String, String>);

impl Posters {
    pub(super) async fn post(&self, due: &Due) -> Outcome {
        let Some(poster) = self.poster(due) else {
            return Outcome::NoAnswer;
        };
        let answer = poster.post(due.body.clone().into_bytes()).await;
        match &answer.outcome {
            Ok(_) if answer.is_taken() => Outcome::Taken,
            Ok(said) => Outcome::Refused(said.status),
            Err(_) => Outcome::NoAnswer,
        }
    }

    fn poster(&self, due: &Due) -> Option<Poster> {
        let mut posters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (due.webhook_id.clone(), due.url.clone(), due.headers.clone());
        if let Some(poster) = posters.get(&key) {
            return Some(poster.clone());
        }
        let secret = Secret::new(due.secret.as_bytes())?;
        let poster =
            Poster::new(Url::parse(&due.url).ok()?, secret, headers(&due.headers)?).ok()?;
        posters.insert(key, poster.clone());
        Some(poster)
    }
}

fn headers(of: &BTreeMap<String, String>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in of {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}
