//! What the partition counts of the topics mean: one for all, enough for what a journal publishes into, or more.

use std::collections::{BTreeMap, BTreeSet};

use super::TopicsError;

/// The count that all topics have; `None` when there are none.
pub(super) fn common(counts: &BTreeMap<String, u32>) -> Result<Option<u32>, TopicsError> {
    let distinct: BTreeSet<u32> = counts.values().copied().collect();
    if distinct.len() > 1 {
        let list: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name}: {count}"))
            .collect();
        let most = distinct.last().copied().unwrap_or_default();
        let low = counts.iter().filter(|(_, count)| **count < most);
        let commands: Vec<String> = low
            .map(|(name, _)| format!("kafka-topics.sh --alter --topic {name} --partitions {most}"))
            .collect();
        return Err(TopicsError::Unequal {
            counts: list.join(", "),
            most,
            commands: commands.join(", "),
        });
    }
    Ok(distinct.first().copied())
}

/// `frozen`, when every topic has so many partitions.
pub(super) fn enough(counts: &BTreeMap<String, u32>, frozen: u32) -> Result<u32, TopicsError> {
    match counts.iter().find(|(_, found)| **found < frozen) {
        Some((topic, found)) => Err(TopicsError::Fewer {
            topic: topic.clone(),
            frozen,
            found: *found,
        }),
        None => Ok(frozen),
    }
}

/// What to say of topics with more partitions than are published into.
pub(super) fn more(counts: &BTreeMap<String, u32>, frozen: u32) -> Option<String> {
    let list: Vec<String> = counts
        .iter()
        .filter(|(_, found)| **found > frozen)
        .map(|(name, found)| format!("{name}: {found}"))
        .collect();
    (!list.is_empty()).then(|| {
        format!(
            "topics have more partitions than the {frozen} that this journal publishes into ({}); give all topics the same \
             count, stop the bridge once nothing is pending, and run `topics ensure --adopt-partitions`",
            list.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u32)]) -> BTreeMap<String, u32> {
        let named = counts.iter();
        named
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn all_topics_have_one_count_or_it_is_told() {
        assert_eq!(common(&counts(&[])).unwrap(), None);
        assert_eq!(common(&counts(&[("a", 3), ("b", 3)])).unwrap(), Some(3));
        let told = common(&counts(&[("a", 3), ("b", 4)])).unwrap_err();
        assert!(told.to_string().contains("a: 3, b: 4"), "{told}");
        let what_to_do = "raise the others to 4: kafka-topics.sh --alter --topic a --partitions 4;";
        assert!(told.to_string().contains(what_to_do), "{told}");
    }

    #[test]
    fn fewer_than_frozen_is_an_error_and_more_a_finding() {
        let mixed = counts(&[("a", 3), ("b", 4)]);
        assert_eq!(enough(&mixed, 3).unwrap(), 3);
        assert!(more(&mixed, 3).unwrap().contains("(b: 4)"));
        assert_eq!(more(&mixed, 4), None);
        let told = enough(&mixed, 4).unwrap_err();
        assert!(
            told.to_string().contains("topic a has 3 partitions"),
            "{told}"
        );
    }
}
