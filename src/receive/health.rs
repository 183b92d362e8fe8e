//! The listener for orchestrators: `/livez` says that the process answers, `/readyz` whether it can make a delivery
//! durable, `/metrics` what was counted.
//!
//! Kafka's state is detail and never a reason for 503: leaving the load balancer would lose calls, and the journal takes
//! them all the same. Nothing here is personal data.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::Method;
use serde::Serialize;
use tokio::net::TcpListener;

use super::listener;
use super::response::{Outcome, json};
use crate::config::Listen;
use crate::metrics::Metrics;

/// Asks how things stand; called for each request, so it must be cheap and must not block.
pub type Probe = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether a delivery can be made durable now; decides between 200 and 503.
    pub journal: Health,
    /// Whether events get on to Kafka; never a reason for 503.
    pub kafka: Health,
    /// Whether records carry their schemas' ids; absent when none is asked for, never a reason for 503.
    pub registry: Option<Health>,
}

/// The state of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Health {
    /// It works.
    Ok,
    /// It does not, or not yet.
    Failing {
        /// Why, and what to do; of a fixed vocabulary, never from a delivery.
        reason: String,
    },
}

impl Readiness {
    /// What a load balancer wants to know.
    pub fn is_ready(&self) -> bool {
        self.journal == Health::Ok
    }
}

/// Serves `/livez`, `/readyz` and `/metrics` until `shutdown` resolves.
pub async fn serve(
    listener: TcpListener,
    listen: &Listen,
    (probe, metrics): (Probe, Metrics),
    shutdown: impl Future<Output = ()>,
) {
    let router = Router::new()
        .route("/livez", any(livez))
        .route("/readyz", any(readyz))
        .with_state(probe)
        .merge(
            Router::new()
                .route("/metrics", any(counted))
                .with_state(metrics),
        )
        .fallback(async || Outcome::NoSuchPath);
    listener::serve(listener, router, listen.read_timeout, shutdown).await;
}

async fn livez(method: Method) -> Response {
    if !is_read(&method) {
        return Outcome::OtherMethod(READS).into_response();
    }
    json(StatusCode::OK, &Live { status: "live" })
}

async fn readyz(State(probe): State<Probe>, method: Method) -> Response {
    if !is_read(&method) {
        return Outcome::OtherMethod(READS).into_response();
    }
    let readiness = probe();
    let (code, status) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let Readiness {
        journal,
        kafka,
        registry,
    } = readiness;
    let report = Report {
        status,
        journal,
        kafka,
        registry,
    };
    json(code, &report)
}

/// What is looked up for it reads the journal's file, which may take a moment.
async fn counted(State(metrics): State<Metrics>, method: Method) -> Response {
    if !is_read(&method) {
        return Outcome::OtherMethod(READS).into_response();
    }
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        // A panic there was reported by its hook.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether a method only looks.
pub(super) fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

/// For `Allow`.
pub(super) const READS: &str = "GET, HEAD";

#[derive(Serialize)]
struct Live {
    status: &'static str,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    journal: Health,
    kafka: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<Health>,
}
