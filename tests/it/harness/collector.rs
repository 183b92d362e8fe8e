//! A collector of traces: tests/documents/collector.py, which reads OTLP with OpenTelemetry's own Python messages.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{foreign, until};

/// A collector; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Collector {
    process: Process,
    port: u64,
    _dir: TempDir,
}

impl Collector {
    /// One that takes what it is sent.
    pub(crate) fn start() -> Self {
        Self::that("take")
    }

    /// One that does something else: `hang` or `refuse`.
    pub(crate) fn that(behaviour: &str) -> Self {
        let dir = TempDir::with_prefix("collector-").expect("a temporary directory");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/collector.py");
        let arguments = [program.as_os_str(), behaviour.as_ref()];
        let process = Process::spawn(&foreign::interpreter(), arguments, dir.path(), |_| {});
        let port = until("the collector's port", Duration::from_secs(20), || {
            let first = lines(&process).into_iter().next();
            first
                .and_then(|line| line["port"].as_u64())
                .ok_or_else(|| process.log_tail())
        });
        Self {
            process,
            port,
            _dir: dir,
        }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to say.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The spans that it has received, as JSON objects.
    pub(crate) fn spans(&self) -> Vec<Value> {
        lines(&self.process).split_off(1)
    }

    /// Waits until it has received so many spans, and returns all.
    pub(crate) fn await_spans(&self, count: usize) -> Vec<Value> {
        until("spans at the collector", Duration::from_secs(20), || {
            let spans = self.spans();
            if spans.len() >= count {
                Ok(spans)
            } else {
                Err(format!("{spans:?}; {}", self.process.stderr()))
            }
        })
    }
}

/// The complete lines that it has printed.
fn lines(process: &Process) -> Vec<Value> {
    let printed = process.stdout();
    let complete = printed.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let line = |line: &str| serde_json::from_str(line).expect("a line of JSON");
    complete.lines().map(line).collect()
}
