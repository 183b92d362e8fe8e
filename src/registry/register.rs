//! Loads one schema under its subject: looks first, judges before it writes, and says which field is in the way.
//!
//! A second run changes nothing. A compatibility level that somebody has set is never lowered.

use serde_json::Value;

use super::Subject;
use super::client::{Client, Registered, RegistryError, Verdict};
use super::level::Level;
use crate::event::compatible::differences;

/// How to load it.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The level that subjects are to have; `None`: whatever they have.
    pub level: Option<Level>,
    /// Whether somebody asked for that level, so that subjects with versions get it too.
    pub level_is_asked: bool,
    /// Nothing is written.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What became of the schema.
    pub outcome: Outcome,
    /// The subject's compatibility level now; `None` when it has none of its own.
    pub level: Option<String>,
    /// What somebody should know.
    pub notes: Vec<String>,
    /// Whether something that was asked for was not done.
    pub is_refused: bool,
}

/// What became of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Unchanged(Registered),
    /// It is there now.
    Registered(Registered),
    /// It would be, as this version.
    Would(u32),
    /// It may not follow what is there.
    Conflict,
}

/// What to do about the level.
enum Step {
    Keep,
    KeepAndTell(String),
    Refuse(String),
    Set(Level),
}

/// Loads a schema, or finds out what would come of it.
///
/// # Errors
///
/// The registry gives no answer that helps.
pub async fn register(
    client: &Client,
    subject: &Subject,
    wish: &Wish,
) -> Result<Registration, RegistryError> {
    let found = client.look_up(&subject.name, &subject.schema).await?;
    let versions = client.versions(&subject.name).await?;
    let level = client.level(&subject.name).await?;
    let step = step(level.as_deref(), versions.is_empty(), wish);
    let mut registration = Registration {
        outcome: Outcome::Conflict,
        level,
        notes: Vec::new(),
        is_refused: false,
    };
    if found.is_none() && !versions.is_empty() {
        let own = OwnJudgement::of(registration.level.as_deref(), &step);
        let reasons = conflicts(client, subject, &versions, own).await?;
        if !reasons.is_empty() {
            registration.tell_conflict(reasons);
            return Ok(registration);
        }
    }
    apply(client, subject, wish, step, &mut registration).await?;
    registration.outcome = match found {
        Some(found) => Outcome::Unchanged(found),
        None if wish.dry_run => Outcome::Would(versions.iter().max().map_or(1, |last| last + 1)),
        None => match client.register(&subject.name, &subject.schema).await? {
            Ok(id) => Outcome::Registered(registered(client, subject, id).await?),
            Err(words) => {
                let mut reasons = vec![words];
                reasons.extend(compared(client, subject, &versions).await?);
                registration.tell_conflict(reasons);
                return Ok(registration);
            }
        },
    };
    Ok(registration)
}

impl Registration {
    fn tell_conflict(&mut self, reasons: Vec<String>) {
        self.outcome = Outcome::Conflict;
        self.is_refused = true;
        self.notes.extend(reasons);
    }
}

/// A level is set before the first version, or when it was asked for and forbids all that the present one does.
fn step(level: Option<&str>, is_new: bool, wish: &Wish) -> Step {
    let Some(wished) = wish.level else {
        return Step::Keep;
    };
    let Some(name) = level else {
        return match is_new || wish.level_is_asked {
            true => Step::Set(wished),
            false => Step::KeepAndTell(format!(
                "the subject has no level of its own; --compatibility {wished} sets it"
            )),
        };
    };
    match name.parse::<Level>() {
        Ok(present) if present.implies(wished) => Step::Keep,
        Ok(present) if wished.implies(present) && wish.level_is_asked => Step::Set(wished),
        Ok(present) if wished.implies(present) => Step::KeepAndTell(format!(
            "the level {present} is kept; --compatibility {wished} raises it"
        )),
        Ok(_) | Err(()) if wish.level_is_asked => Step::Refuse(format!(
            "the level {name} is kept: {wished} would allow what it forbids; if that is meant, change it in the registry"
        )),
        Ok(_) | Err(()) => Step::KeepAndTell(format!(
            "the level {name} is kept; these schemas are made for {wished}, and a later version may not pass"
        )),
    }
}

async fn apply(
    client: &Client,
    subject: &Subject,
    wish: &Wish,
    step: Step,
    registration: &mut Registration,
) -> Result<(), RegistryError> {
    match step {
        Step::Keep => {}
        Step::KeepAndTell(note) => registration.notes.push(note),
        Step::Refuse(note) => {
            registration.is_refused = true;
            registration.notes.push(note);
        }
        Step::Set(level) => {
            let before = registration.level.replace(level.to_string());
            let before = before.unwrap_or_else(|| "none".to_owned());
            if wish.dry_run {
                registration
                    .notes
                    .push(format!("the level would be set from {before} to {level}"));
            } else {
                client.set_level(&subject.name, level.name()).await?;
                registration
                    .notes
                    .push(format!("the level was set from {before} to {level}"));
            }
        }
    }
    Ok(())
}

/// When our own comparison decides whether a schema may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnJudgement {
    /// Always: the registry judges by the level of now, and not by the one that the subject is to have.
    Decides,
    /// If the registry does not judge before it is asked to register.
    StandsIn,
    /// Never: it is not forward compatibility that is asked for.
    IsSilent,
}

impl OwnJudgement {
    fn of(level: Option<&str>, step: &Step) -> Self {
        let is_forward = |name: &str| name.parse().is_ok_and(Level::is_forward);
        match step {
            Step::Set(level) if level.is_forward() => Self::Decides,
            Step::Set(_) | Step::Keep | Step::KeepAndTell(_) | Step::Refuse(_) => {
                match level.is_some_and(is_forward) {
                    true => Self::StandsIn,
                    false => Self::IsSilent,
                }
            }
        }
    }
}

/// Why the schema may not follow what is there; nothing when it may.
async fn conflicts(
    client: &Client,
    subject: &Subject,
    versions: &[u32],
    own: OwnJudgement,
) -> Result<Vec<String>, RegistryError> {
    match client.judge(&subject.name, &subject.schema).await? {
        Verdict::Compatible if own == OwnJudgement::Decides => {
            compared(client, subject, versions).await
        }
        Verdict::Compatible => Ok(Vec::new()),
        // It judges when it is asked to register.
        Verdict::NotJudged if own == OwnJudgement::IsSilent => Ok(Vec::new()),
        Verdict::NotJudged => compared(client, subject, versions).await,
        Verdict::Incompatible(mut reasons) => {
            reasons.truncate(MOST_REASONS);
            reasons.extend(compared(client, subject, versions).await?);
            if reasons.is_empty() {
                reasons.push(
                    "readers of every earlier version could read it, so it is the level that refuses it; these schemas are made for FORWARD_TRANSITIVE"
                        .to_owned(),
                );
            }
            Ok(reasons)
        }
    }
}

/// What readers of each earlier version would trip over, the newest first.
async fn compared(
    client: &Client,
    subject: &Subject,
    versions: &[u32],
) -> Result<Vec<String>, RegistryError> {
    let later: Value = serde_json::from_str(&subject.schema).unwrap_or_default();
    let mut reasons = Vec::new();
    for version in versions.iter().rev() {
        let earlier = client.schema(&subject.name, *version).await?;
        match serde_json::from_str(&earlier) {
            Ok(earlier) => {
                let found = differences(&earlier, &later).into_iter().take(MOST_REASONS);
                reasons.extend(found.map(|difference| format!("version {version}: {difference}")));
            }
            Err(_) => reasons.push(format!("version {version} is no JSON schema")),
        }
    }
    Ok(reasons)
}

/// What has been registered, as everybody else finds it.
async fn registered(
    client: &Client,
    subject: &Subject,
    id: u32,
) -> Result<Registered, RegistryError> {
    let found = client.look_up(&subject.name, &subject.schema).await?;
    found.ok_or_else(|| RegistryError::Refused {
        what: format!("to find {} again", subject.name),
        status: 404,
        message: format!("it was registered with the id {id} and is not found by its text"),
    })
}

const MOST_REASONS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn stepped(level: Option<&str>, is_new: bool, asked: bool) -> String {
        let wish = Wish {
            level: Some(Level::ForwardTransitive),
            level_is_asked: asked,
            dry_run: false,
        };
        match step(level, is_new, &wish) {
            Step::Keep => "keep".to_owned(),
            Step::KeepAndTell(_) => "tell".to_owned(),
            Step::Refuse(_) => "refuse".to_owned(),
            Step::Set(level) => level.to_string(),
        }
    }

    #[test]
    fn a_level_is_set_where_none_is_and_never_lowered() {
        let set = "FORWARD_TRANSITIVE";
        for (level, is_new, unasked, asked) in [
            (None, true, set, set),
            (None, false, "tell", set),
            (Some("NONE"), false, "tell", set),
            (Some("FORWARD"), false, "tell", set),
            (Some(set), false, "keep", "keep"),
            (Some("FULL_TRANSITIVE"), false, "keep", "keep"),
            (Some("BACKWARD"), true, "tell", "refuse"),
            (Some("FULL"), false, "tell", "refuse"),
            (Some("OF_ITS_OWN"), false, "tell", "refuse"),
        ] {
            assert_eq!(stepped(level, is_new, false), unasked, "{level:?}");
            assert_eq!(stepped(level, is_new, true), asked, "{level:?}, asked");
        }
    }
}
