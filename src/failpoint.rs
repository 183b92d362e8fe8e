//! Failpoints: named places on a delivery's road where a test lets the process die or wait.
//!
//! Only a build with the feature `failpoints` has them; in any other, [`hit`] is an empty function, and the variable that
//! arms them is not read. `tests/it/faults` arms each of [`NAMES`] and fails for one that is never reached.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{VARIABLE, check, hit};

/// The process came to the place of that name.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}

/// Every failpoint, in the order of the road.
pub const NAMES: [&str; 21] = [
    "receive.body-complete",
    "receive.verified",
    "receive.queued",
    "journal.before-commit",
    "journal.after-commit",
    "receive.before-answer",
    "recover.before-fencing",
    "recover.after-fencing",
    "recover.mark-read",
    "recover.mark-settled",
    "publish.rows-read",
    "publish.transaction-begun",
    "publish.record-sent",
    "publish.records-sent",
    "publish.before-mark",
    "publish.before-commit",
    "publish.after-commit",
    "publish.after-settle",
    "publish.before-abort",
    "publish.after-abort",
    "journal.settling",
];

#[cfg(test)]
mod tests {
    #[test]
    fn a_build_has_them_only_when_asked() {
        let manifest: toml::Table =
            toml::from_str(include_str!("../Cargo.toml")).expect("the manifest is TOML");
        let features = manifest["features"].as_table().expect("a table");
        assert!(features.contains_key("failpoints"));
        assert!(
            !features.contains_key("default"),
            "a release is built with the default features, which must not bring failpoints"
        );
        let image = include_str!("../Dockerfile");
        assert!(!image.contains("features"), "the image is a release");
    }
}
