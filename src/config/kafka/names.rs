//! librdkafka's properties by name, with what each takes: the list of its own documentation.
//!
//! Whether a property exists is librdkafka's to say; the list tells what was meant by one that does not.

/// The known name that is nearest to one that nobody knows.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let nearest = all().map(|(known, _)| (strsim::damerau_levenshtein(name, known), known));
    let (distance, known) = nearest.min()?;
    (distance <= known.len() / 3).then_some(known)
}

/// What a property takes, where that can be said in short.
pub(super) fn accepted(name: &str) -> Option<&'static str> {
    all().find(|(known, _)| *known == name)?.1
}

fn all() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    LIST.lines().map(|line| match line.split_once(" = ") {
        Some((name, accepted)) => (name, Some(accepted)),
        None => (line, None),
    })
}

/// From librdkafka's CONFIGURATION.md, without what only programs can set and what is not built in.
const LIST: &str = include_str!("properties.txt");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::properties::{Judged, judge};

    #[test]
    fn librdkafka_takes_every_name_of_the_list_and_what_is_said_of_it() {
        let mut refused = Vec::new();
        for (name, accepted) in all() {
            let values: Vec<&str> = match accepted {
                None => vec!["x"],
                Some(accepted) => match accepted.split_once(" to ") {
                    Some((least, most)) => vec![least, most],
                    None => accepted.split(", ").collect(),
                },
            };
            let values = values.into_iter().map(|value| (name, value));
            refused.extend(values.filter(|(name, value)| !is_taken(name, value)));
        }
        assert_eq!(refused, []);
        assert!(all().count() > 100);
    }

    fn is_taken(name: &str, value: &str) -> bool {
        matches!(judge(name, value), Judged::Taken(_))
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("sasl.pasword"), Some("sasl.password"));
        assert_eq!(nearest("linger"), Some("linger.ms"));
        assert_eq!(nearest("no.such.thing.at.all"), None);
    }
}
