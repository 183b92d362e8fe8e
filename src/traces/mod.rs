//! Traces: a delivery's way from the HTTP request through the journal to Kafka, as spans for a collector that takes OTLP.
//!
//! The standard variables of OpenTelemetry say whether there are any, and where they go; without them [`Traces`] is empty
//! and costs a comparison. Nothing here waits: a span that has ended is put into a bounded queue or dropped, and a thread of
//! the SDK sends what is queued. A trace outlives the process in the journal, as the `traceparent` of its row.
//!
//! Only deliveries that proved themselves have spans: strangers could fill the queue otherwise. No span holds anything of a
//! body but the id and the call's id.

mod environment;
mod export;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use uuid::Uuid;

use crate::metrics::SpanMetrics;
use crate::route::is_traceparent;

/// Where spans go, if anywhere. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Exporting>>);

#[derive(Debug)]
struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// As the process's environment wants it. What it asks for and cannot have is logged, and the bridge runs without: no
    /// delivery is refused for the sake of its trace.
    pub fn of_process(instance: Uuid, metrics: impl FnOnce() -> SpanMetrics) -> Self {
        let started = match environment::read(&|name| std::env::var(name).ok()) {
            Ok(environment::Wanted::Nothing) => return Self::default(),
            Ok(environment::Wanted::Otlp { queue }) => {
                export::start(queue, resource(instance), metrics())
            }
            Err(problem) => Err(problem.to_string()),
        };
        match started {
            Ok(provider) => {
                tracing::info!("traces are sent to the collector of OTEL_EXPORTER_OTLP_ENDPOINT");
                Self::from(provider)
            }
            Err(why) => {
                tracing::error!("no traces are sent: {why}");
                Self::default()
            }
        }
    }

    /// The present, for a span that may begin with it; `None` when there are no traces.
    pub fn now(&self) -> Option<SystemTime> {
        self.0.is_some().then(SystemTime::now)
    }

    /// The span of a request that began then: it goes on with the trace of the `traceparent` that was sent, or begins one.
    /// `None` when there are no traces, or this one is not sampled.
    pub fn request(&self, began: Option<SystemTime>, traceparent: Option<&str>) -> Option<Span> {
        let builder = SpanBuilder::from_name(REQUEST)
            .with_kind(SpanKind::Server)
            .with_start_time(began?);
        self.begin(builder, traceparent.and_then(read))
    }

    /// The span of a delivery's way into Kafka, in the trace that its journal row carries. `None` when it carries none, as
    /// without traces or when it is not sampled.
    pub fn publishing(&self, traceparent: Option<&str>) -> Option<Span> {
        let _ = self.0.as_ref()?;
        let builder = SpanBuilder::from_name(PUBLISH).with_kind(SpanKind::Producer);
        self.begin(builder, Some(read(traceparent?)?))
    }

    fn begin(&self, builder: SpanBuilder, parent: Option<SpanContext>) -> Option<Span> {
        let Exporting { tracer, .. } = &**self.0.as_ref()?;
        Span::begin(tracer, builder, parent)
    }

    /// Sends what is queued and ends; what cannot be sent within `limit` is lost.
    pub fn close(&self, limit: Duration) {
        let Some(exporting) = &self.0 else { return };
        if exporting.provider.shutdown_with_timeout(limit).is_err() {
            tracing::warn!("the collector did not take the last spans in time; they are lost");
        }
    }
}

impl From<SdkTracerProvider> for Traces {
    fn from(provider: SdkTracerProvider) -> Self {
        Self(Some(Arc::new(Exporting {
            tracer: provider.tracer(env!("CARGO_PKG_NAME")),
            provider,
        })))
    }
}

/// A part of a delivery's way. It ends when it is dropped, as failed unless somebody said [`Span::end`].
#[derive(Debug)]
pub struct Span(Box<Sampled>);

#[derive(Debug)]
struct Sampled {
    span: opentelemetry_sdk::trace::Span,
    tracer: SdkTracer,
    is_judged: bool,
}

impl Span {
    fn begin(
        tracer: &SdkTracer,
        builder: SpanBuilder,
        parent: Option<SpanContext>,
    ) -> Option<Self> {
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        let span = tracer.build_with_context(builder, &parent);
        let is_sampled = span.is_recording() && span.span_context().is_sampled();
        let sampled = || {
            Self(Box::new(Sampled {
                span,
                tracer: tracer.clone(),
                is_judged: false,
            }))
        };
        is_sampled.then(sampled)
    }

    /// A part of this part.
    pub fn child(&self, name: &'static str) -> Option<Self> {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal);
        let parent = self.0.span.span_context().clone();
        Self::begin(&self.0.tracer, builder, Some(parent))
    }

    /// What whoever comes next is to be given as its `traceparent`.
    pub fn traceparent(&self) -> String {
        let context = self.0.span.span_context();
        format!(
            "00-{:032x}-{:016x}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags()
        )
    }

    /// Another name than that which its kind begins with: with what, but never with whose.
    pub fn rename(&mut self, name: String) {
        self.0.span.update_name(name);
    }

    /// Says something of it.
    pub fn say(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.span.set_attribute(KeyValue::new(key, value));
    }

    /// It is done.
    pub fn end(mut self) {
        self.0.is_judged = true;
    }

    /// It failed, for a reason of a fixed vocabulary.
    pub fn fail(mut self, reason: &'static str) {
        self.0.is_judged = true;
        self.0.span.set_status(Status::error(reason));
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.0.is_judged {
            self.0.span.set_status(Status::error(UNFINISHED));
        }
    }
}

/// Whose spans these are: as the environment says, else the program's name, the journal being the instance.
fn resource(instance: Uuid) -> Resource {
    let told = Resource::builder().build();
    let named = told.get(&KEY_SERVICE_NAME.into());
    let is_told = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let own = [
        KeyValue::new(KEY_SERVICE_NAME, env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_string()),
    ];
    let missing = own.into_iter().filter(|own| match own.key.as_str() {
        KEY_SERVICE_NAME => !is_told,
        _ => told.get(&own.key).is_none(),
    });
    Resource::builder().with_attributes(missing).build()
}

fn read(traceparent: &str) -> Option<SpanContext> {
    if !is_traceparent(traceparent) {
        return None;
    }
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    Some(SpanContext::new(
        trace,
        span,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    ))
}

// Names by OpenTelemetry's conventions for HTTP and messaging, whose messaging half may still change.
const REQUEST: &str = "POST /webhooks/{name}";
const PUBLISH: &str = "send";
const UNFINISHED: &str = "unfinished";
/// The name of the part in which the journal makes a delivery durable.
pub const APPEND: &str = "append";
const KEY_SERVICE_NAME: &str = "service.name";

#[cfg(test)]
mod tests;
