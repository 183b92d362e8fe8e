//! A flood of refusals: answered each, counted each, and a few lines of the log.

use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::reloading::metric;

#[test]
fn a_flood_of_unsigned_deliveries_is_a_few_lines_and_their_number() {
    let mut bridge = Bridge::new("127.0.0.1:1").start();
    let mut client = bridge.client();
    for _ in 0..FLOOD {
        let answer = client.request("POST", "/webhooks/default", &[], b"{}");
        assert_eq!(answer.expect("an answer").status, 401);
    }
    let answer = client.request("POST", "/webhooks/nobody", &[], b"{}");
    assert_eq!(answer.expect("an answer").status, 404);
    let counted = "atoms_bridge_deliveries_total{outcome=\"no-signature\",webhook=\"default\"}";
    assert_eq!(metric(&bridge, counted), FLOOD);
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    let log = bridge.log();
    let told = log
        .lines()
        .filter(|line| line.contains("no signature: "))
        .count() as u64;
    let summed = log
        .lines()
        .filter(|line| line.contains("so many more like those above"));
    let more: u64 = summed
        .map(|line| {
            assert!(
                line.contains("no-signature") && line.contains("default"),
                "{line}"
            );
            let more = line
                .split("more=")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            more.and_then(|more| more.parse::<u64>().ok()).expect(line)
        })
        .sum();
    assert_eq!(told + more, FLOOD, "{log}");
    assert!(log.lines().count() < 60, "{log}");
    assert!(
        log.contains("no such webhook is configured"),
        "the rest is not hidden: {log}"
    );
}

const FLOOD: u64 = 5000;
