//! The frame of every page, pages that say what is wrong, and the small parts that pages share.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::desk::{Content, Trouble};
use crate::receive::health::{Health, Readiness};
use crate::time::Timestamp;

/// What stands around a page.
pub(super) struct Frame {
    pub(super) readiness: Readiness,
    /// Dead letters of the last day.
    pub(super) letters: usize,
    pub(super) can_log_out: bool,
}

/// A whole page.
pub(super) fn whole(frame: &Frame, content: &Content) -> Response {
    let nav = html! {
        nav aria-label="Pages" {
            @for (path, name) in PAGES {
                a href=(path) aria-current=[(content.title == name).then_some("page")] {
                    (name)
                    @if path == "/dead-letters" && frame.letters > 0 {
                        span.count title="in the last 24 hours" { (few(frame.letters)) }
                    }
                }
            }
        }
        span.health { (health("journal", &frame.readiness.journal)) (health("Kafka", &frame.readiness.kafka)) }
        @if frame.can_log_out {
            form method="post" action="/logout" { button.quiet { "Log out" } }
        }
    };
    answer(
        StatusCode::OK,
        &document(&content.title, &nav, &content.body),
    )
}

/// A page without what only the journal knows.
pub(super) fn plain(status: StatusCode, title: &str, body: &Markup) -> Response {
    answer(status, &document(title, &html! {}, body))
}

fn document(title: &str, nav: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Atoms → Kafka bridge" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console.css";
                script src="/console.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the page" }
                header { a.name href="/" { "Atoms → Kafka bridge" } (nav) }
                main id="main" tabindex="-1" { (body) }
                footer { "Version " (env!("CARGO_PKG_VERSION")) ". Times are in UTC." }
            }
        }
    }
}

fn answer(status: StatusCode, page: &Markup) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, page.0.clone()).into_response()
}

/// The page that says why there is none.
pub(super) fn trouble(trouble: &Trouble) -> Response {
    let (status, title) = match trouble {
        Trouble::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
        Trouble::NotUnderstood(_) => (StatusCode::BAD_REQUEST, "Not understood"),
        Trouble::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy"),
        Trouble::NotDone(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Not done"),
        Trouble::Journal(_) | Trouble::Search(_) | Trouble::Quarantine(_) | Trouble::Ledger(_) => {
            tracing::error!(
                error = trouble as &dyn std::error::Error,
                "a page of the console could not be made"
            );
            (StatusCode::INTERNAL_SERVER_ERROR, "Cannot be read")
        }
    };
    said(status, title, &trouble.to_string())
}

/// A page with one sentence.
pub(super) fn said(status: StatusCode, title: &str, text: &str) -> Response {
    let body = html! {
        h1 { (title) }
        p { (sentence(text)) }
        p { a href="/" { "Overview" } }
    };
    plain(status, title, &body)
}

/// Errors are fragments; a page has sentences.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(char::to_uppercase);
    let end = if fragment.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    first.into_iter().flatten().chain(chars).collect::<String>() + end
}

pub(super) async fn no_such_page() -> Response {
    said(StatusCode::NOT_FOUND, "Not found", "there is no such page")
}

pub(super) async fn other_method(request: Request) -> Response {
    let mut response = said(
        StatusCode::METHOD_NOT_ALLOWED,
        "Not understood",
        "this page is asked for in another way",
    );
    let allowed = if request.method() == axum::http::Method::POST {
        "GET, HEAD"
    } else {
        "POST"
    };
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A state as a word with a colour; never a colour alone.
pub(super) fn state(mood: Mood, word: &str) -> Markup {
    html! { span class=(format!("state {}", mood.class())) { (word) } }
}

/// How a state is to be felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Waits,
    Ill,
    Neither,
}

impl Mood {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Waits => "waits",
            Self::Ill => "ill",
            Self::Neither => "neither",
        }
    }
}

fn health(name: &str, health: &Health) -> Markup {
    match health {
        Health::Ok => state(Mood::Well, name),
        Health::Failing { reason } => html! { span.state.ill title=(reason) { (name) " failing" } },
    }
}

/// A moment: of today its time alone; the whole is its title.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let (whole, today) = (at.to_string(), now.to_string());
    let (date, time) = whole.split_once('T').unwrap_or((&whole, ""));
    let seconds = time.get(..8).unwrap_or(time);
    let same_day = today.starts_with(date);
    html! {
        time datetime=(whole) title=(whole) {
            @if !same_day { span.date { (date) " " } }
            (seconds) span.fraction { (time.get(8..12).unwrap_or_default()) }
        }
    }
}

/// A count with its thousands apart.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut spaced = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            spaced.push('\u{202f}');
        }
        spaced.push(digit);
    }
    spaced
}

/// What came of a form, as the page behind it says.
pub(super) fn notice(text: &str) -> Markup {
    html! { p.notice role="status" { (text) } }
}

fn few(count: usize) -> String {
    if count < 100 {
        count.to_string()
    } else {
        "99+".to_owned()
    }
}

/// In the header of every page. The completeness of calls is to stand behind Search.
const PAGES: [(&str, &str); 4] = [
    ("/", "Overview"),
    ("/search", "Search"),
    ("/dead-letters", "Dead letters"),
    ("/quarantine", "Quarantine"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1000), "1\u{202f}000");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn what_anybody_sent_is_text() {
        let moment = html! { td title=("\"><script>") { ("<script>alert(1)</script>") } };
        assert_eq!(
            moment.0,
            "<td title=\"&quot;&gt;&lt;script&gt;\">&lt;script&gt;alert(1)&lt;/script&gt;</td>"
        );
    }
}
