//! The console's own files, embedded in the binary: one style sheet, one script, one icon.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

pub(super) async fn css() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("console.css"))
}

pub(super) async fn js() -> impl IntoResponse {
    file("text/javascript; charset=utf-8", include_str!("console.js"))
}

pub(super) async fn icon() -> impl IntoResponse {
    file("image/svg+xml", include_str!("icon.svg"))
}

/// They change with the binary only, but their names do not.
fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, text)
}
