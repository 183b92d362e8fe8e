//! What time the registry says that it is, by the `Date` of its answers.

use std::time::Instant;

use jiff::fmt::rfc2822;
use reqwest::Method;
use reqwest::header::DATE;

use super::client::Client;
use crate::time::Timestamp;

impl Client {
    /// By how many milliseconds this machine's clock is ahead of the registry's, to about a second; `None` when the
    /// registry does not tell the time.
    pub async fn ahead_ms(&self) -> Option<i64> {
        let begun = Instant::now();
        let asked_at = Timestamp::now();
        let request = self.request::<()>(Method::GET, "/subjects", None);
        let response = request.send().await.ok()?;
        let way_ms = i64::try_from(begun.elapsed().as_millis() / 2).ok()?;
        let told_ms = read(response.headers().get(DATE)?.to_str().ok()?)?;
        Some(asked_at.unix_ms() + way_ms - told_ms)
    }
}

/// The middle of the second that an HTTP date names.
fn read(date: &str) -> Option<i64> {
    let told = rfc2822::parse(date).ok()?;
    Some(told.timestamp().as_millisecond() + 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read() {
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_500));
        assert_eq!(read("yesterday"), None);
    }
}
