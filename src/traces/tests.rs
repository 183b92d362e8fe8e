//! Spans from the request to the record, and what is not traced.

use std::sync::Mutex;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};

use super::*;

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Keeps what has ended.
#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn traces() -> (Traces, Ended) {
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_span_processor(ended.clone());
    (Traces::from(provider.build()), ended)
}

#[test]
fn a_trace_that_was_sent_goes_on_through_request_and_publishing() {
    let (traces, ended) = traces();
    let request = traces.request(traces.now(), Some(SENT)).unwrap();
    let stored = request.traceparent();
    request.child(APPEND).unwrap().end();
    request.end();
    let publishing = traces.publishing(Some(&stored)).unwrap();
    let published = publishing.traceparent();
    publishing.end();
    let ids = |text: &str| read(text).map(|context| (context.trace_id(), context.span_id()));
    let (trace, sender) = ids(SENT).unwrap();
    let spans = ended.0.lock().unwrap();
    let shape: Vec<_> = spans
        .iter()
        .map(|span| {
            (
                span.name.to_string(),
                span.parent_span_id,
                span.status.clone(),
            )
        })
        .collect();
    let request_span = ids(&stored).unwrap().1;
    assert_eq!(
        shape,
        [
            (APPEND.to_owned(), request_span, Status::Unset),
            (REQUEST.to_owned(), sender, Status::Unset),
            (PUBLISH.to_owned(), request_span, Status::Unset),
        ]
    );
    for text in [&stored, &published] {
        assert_eq!(ids(text).unwrap().0, trace);
        assert!(text.ends_with("-01") && is_traceparent(text), "{text}");
    }
    assert_ne!(ids(&stored), ids(&published));
}

#[test]
fn a_request_without_a_trace_begins_one_and_a_row_without_one_has_none() {
    let (traces, _) = traces();
    for sent in [None, Some("00-0-0-0")] {
        let begun = traces.request(traces.now(), sent).unwrap();
        assert!(is_traceparent(&begun.traceparent()));
        assert!(traces.publishing(sent).is_none());
    }
}

#[test]
fn what_a_sender_does_not_sample_is_not_sampled() {
    let (traces, ended) = traces();
    let unsampled = SENT.replace("-01", "-00");
    assert!(traces.request(traces.now(), Some(&unsampled)).is_none());
    assert!(traces.publishing(Some(&unsampled)).is_none());
    assert!(ended.0.lock().unwrap().is_empty());
}

#[test]
fn a_span_that_nobody_ends_has_failed() {
    let (traces, ended) = traces();
    drop(traces.publishing(Some(SENT)).unwrap());
    traces.publishing(Some(SENT)).unwrap().fail("too-large");
    let spans = ended.0.lock().unwrap();
    let statuses: Vec<_> = spans.iter().map(|span| span.status.clone()).collect();
    assert_eq!(
        statuses,
        [Status::error(UNFINISHED), Status::error("too-large")]
    );
}

#[test]
fn without_a_collector_there_is_nothing() {
    let traces = Traces::default();
    assert_eq!(traces.now(), None);
    assert!(traces.request(traces.now(), Some(SENT)).is_none());
    assert!(traces.publishing(Some(SENT)).is_none());
    traces.close(Duration::ZERO);
}
