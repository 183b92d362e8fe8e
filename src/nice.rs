//! Threads that stand back when the processor is busy, for those that take deliveries.

/// Adds `by` to the nice value of the calling thread, and so of those that it starts. Only on Linux: elsewhere that would be
/// the whole process.
pub(crate) fn stand_back(by: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(by) {
        tracing::debug!(%error, "the thread runs like any other");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}
