//! The certificate of the public listener: its dates and its names.

use super::finding::Finding;
use crate::config::Config;
use crate::receive::certificate::Certificate;
use crate::time::Timestamp;

/// What the configured certificate says of itself.
pub(super) fn tls(config: &Config) -> Vec<Finding> {
    let Some(tls) = &config.listen.tls else {
        let what = "listen.tls is not set: a proxy before the bridge ends TLS";
        return vec![Finding::ok("tls", what)];
    };
    let Some(identity) = &tls.identity else {
        return vec![Finding::waits("tls", "configuration")];
    };
    let at = tls.cert.display();
    vec![match Certificate::of(identity) {
        Some(certificate) => judge(&certificate, &at.to_string(), Timestamp::now()),
        None => {
            let todo = "look at it: openssl x509 -text -in FILE";
            Finding::failure("tls", format!("{at} does not tell its dates"), todo)
        }
    }]
}

fn judge(certificate: &Certificate, at: &str, now: Timestamp) -> Finding {
    let Certificate {
        not_before,
        not_after,
        names,
    } = certificate;
    let left_ms = not_after.unix_ms() - now.unix_ms();
    let what = format!("{at}, for {}, until {not_after}", names.join(" and "));
    if names.is_empty() {
        let what = format!("{at} names no host: no sender takes it");
        let todo = "have one issued with the public name as its subjectAltName";
        Finding::failure("tls", what, todo)
    } else if left_ms <= 0 {
        let todo = "renew it; a running `serve` takes the new files by itself";
        Finding::failure("tls", format!("{at} has expired at {not_after}"), todo)
    } else if now < *not_before {
        let todo = "wait, or set this machine's clock";
        Finding::failure("tls", format!("{at} is not good before {not_before}"), todo)
    } else if left_ms < RENEW_MS {
        let todo = "renew it; a running `serve` takes the new files by itself";
        Finding::warning("tls", what, todo)
    } else {
        Finding::ok("tls", what)
    }
}

/// A week before its end nobody has renewed it yet.
const RENEW_MS: i64 = 7 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_its_dates_and_names() {
        let day = 86_400_000;
        let judged = |from: i64, until: i64, names: &[&str]| {
            let certificate = Certificate {
                not_before: Timestamp::from_unix_ms(from * day),
                not_after: Timestamp::from_unix_ms(until * day),
                names: names.iter().map(|name| (*name).to_owned()).collect(),
            };
            judge(&certificate, "x", Timestamp::from_unix_ms(100 * day)).state
        };
        assert_eq!(judged(90, 110, &["a"]), State::Ok);
        assert_eq!(judged(90, 106, &["a"]), State::Warning);
        assert_eq!(judged(90, 100, &["a"]), State::Failure);
        assert_eq!(judged(101, 110, &["a"]), State::Failure);
        assert_eq!(judged(90, 110, &[]), State::Failure);
    }
}
