//! What is counted, and the text that Prometheus gets of it.

use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    let text = String::from_utf8(metrics.text()).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_webhooks_outcomes_are_there_before_the_first_request() {
    let metrics = Metrics::new();
    let webhook = metrics.webhook("default", 2);
    let zero = |outcome: &str| {
        format!("atoms_bridge_deliveries_total{{outcome=\"{outcome}\",webhook=\"default\"}} 0")
    };
    for outcome in [
        "stored",
        "duplicate",
        "no-signature",
        "wrong-signature",
        "not-stored",
    ] {
        assert!(lines(&metrics).contains(&zero(outcome)), "{outcome}");
    }
    webhook.refused(Refusal::WrongSignature);
    webhook.signed_by(1);
    webhook.signed_by(7);
    let counted = lines(&metrics);
    for line in [
        "atoms_bridge_deliveries_total{outcome=\"wrong-signature\",webhook=\"default\"} 1",
        "atoms_bridge_signatures_total{secret=\"1\",webhook=\"default\"} 0",
        "atoms_bridge_signatures_total{secret=\"2\",webhook=\"default\"} 1",
    ] {
        assert!(counted.contains(&line.to_owned()), "{line} in {counted:?}");
    }
}

#[test]
fn times_are_in_seconds_and_never_negative() {
    let at = Timestamp::from_unix_ms;
    assert!((seconds(at(1000), at(2500)) - 1.5).abs() < 1e-9);
    assert!(seconds(at(2500), at(1000)).abs() < 1e-9);
}

#[test]
fn what_is_looked_up_is_looked_up_at_each_question() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let metrics = Metrics::new();
    let rows = AtomicU64::new(0);
    metrics.watch(Box::new(move || Observed {
        pending_rows: rows.fetch_add(7, Ordering::Relaxed),
        ..Observed::default()
    }));
    for rows in [0, 7, 14] {
        let line = format!("atoms_bridge_journal_pending_rows {rows}");
        assert!(lines(&metrics).contains(&line), "{line}");
    }
}
