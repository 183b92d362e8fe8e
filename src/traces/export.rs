//! Between the road and the collector: a queue that is never waited for, and counts of what became of each span.
//!
//! The SDK's own processor batches and sends. It counts what it drops for its own log only, so the bound is kept here, at
//! the size of its queue: what passes here always finds room there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::metrics::SpanMetrics;

/// Starts the thread that sends; where to, the exporter takes from the environment.
pub(super) fn start(
    queue: usize,
    resource: Resource,
    metrics: SpanMetrics,
) -> Result<SdkTracerProvider, String> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .build()
        .map_err(|error| error.to_string())?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        inner: exporter,
        waiting: Arc::clone(&waiting),
        metrics: metrics.clone(),
        is_failing: AtomicBool::new(false),
    };
    let bounded = Bounded {
        inner: BatchSpanProcessor::builder(counted).build(),
        waiting,
        queue,
        metrics,
    };
    Ok(SdkTracerProvider::builder()
        .with_span_processor(bounded)
        .with_resource(resource)
        .build())
}

/// Drops, and counts, what finds the queue full.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    /// Queued, or on their way.
    waiting: Arc<AtomicUsize>,
    queue: usize,
    metrics: SpanMetrics,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.queue {
            self.inner.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what was sent and what was not, and says once that it fails and once that it does no more.
#[derive(Debug)]
struct Counted {
    inner: OtlpExporter,
    waiting: Arc<AtomicUsize>,
    metrics: SpanMetrics,
    is_failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let counter = if sent.is_ok() {
            &self.metrics.exported
        } else {
            &self.metrics.failed
        };
        counter.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        let was_failing = self.is_failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_failing => {
                tracing::warn!(%error, "the collector takes no spans; they are lost until it does");
            }
            Ok(()) if was_failing => tracing::info!("the collector takes spans again"),
            Ok(()) | Err(_) => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
