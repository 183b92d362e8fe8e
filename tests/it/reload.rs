//! Webhooks, secrets and the certificate are exchanged under load, and nobody notices.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{RwLock, Semaphore};

use crate::harness::bridge::{Bridge, signature};
use crate::harness::calls::{delivery, id, judge};
use crate::harness::reloading::{applied, install, reload, replace};
use crate::harness::tls::Authority;
use crate::harness::web::{Connection, Version};
use crate::harness::{shared_broker, unique};

#[test]
fn ten_thousand_deliveries_are_kept_while_everything_is_reloaded_a_hundred_times() {
    let authority = Authority::new();
    let certificates = ["first", "second"].map(|name| authority.issue(name));
    let prefix = format!("{}.", unique("reload"));
    let mut bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2");
    install(bridge.dir(), &certificates[0]);
    replace(bridge.dir(), "even", &secret_of(0));
    replace(bridge.dir(), "odd", &secret_of(1));
    replace(bridge.dir(), "bridge.toml", &configuration(0));
    bridge = bridge.start();

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let load = Arc::new(Load {
        secret: RwLock::new(secret_of(0)),
        leave: Semaphore::new(0),
    });
    let address = bridge.webhooks_address();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let version = [Version::One, Version::Two][lane % 2];
            let tls = authority.client(&[version.alpn()]);
            let load = Arc::clone(&load);
            runtime.spawn(async move {
                // Requests of a lane of HTTP/2 share a connection until both have used it enough.
                for part in 0..STEPS / STEPS_A_CONNECTION {
                    let (connection, _) = Connection::secured(address, Arc::clone(&tls))
                        .await
                        .expect("a handshake");
                    assert_eq!(connection.version(), version);
                    let steps = part * STEPS_A_CONNECTION..(part + 1) * STEPS_A_CONNECTION;
                    match version {
                        Version::One => load.post(connection, lane, 0, steps).await,
                        Version::Two => {
                            let shared = (0..STREAMS).map(|stream| {
                                let (load, steps, connection) =
                                    (Arc::clone(&load), steps.clone(), connection.share());
                                tokio::spawn(async move {
                                    load.post(connection, lane, stream, steps).await
                                })
                            });
                            for stream in shared.collect::<Vec<_>>() {
                                stream.await.expect("a stream does not panic");
                            }
                        }
                    }
                }
            })
        })
        .collect();

    for round in 1..=ROUNDS {
        load.leave.add_permits(DELIVERIES.div_ceil(ROUNDS));
        install(bridge.dir(), &certificates[round % 2]);
        // One secret is exchanged, the other is the one that everybody signs with.
        replace(
            bridge.dir(),
            if round % 2 == 0 { "even" } else { "odd" },
            &secret_of(round),
        );
        replace(bridge.dir(), "bridge.toml", &configuration(round));
        reload(&mut bridge);
        // Nobody signs with the old one any more once this is granted.
        *runtime.block_on(load.secret.write()) = secret_of(round);
        let tls = authority.client(&[Version::Two.alpn()]);
        let (mut connection, shown) = runtime
            .block_on(Connection::secured(address, tls))
            .expect("a handshake");
        assert_eq!(
            shown,
            authority.certificate_in(&certificates[round % 2].cert),
            "round {round}"
        );
        let body = b"not of this call".to_vec();
        let asked = connection.request("POST", "/webhooks/coming", &[("x-signature", "00")], body);
        let expected = if round % 2 == 1 { 401 } else { 404 };
        assert_eq!(
            runtime.block_on(asked).expect("an answer").status,
            expected,
            "round {round}"
        );
    }
    for lane in lanes {
        runtime
            .block_on(lane)
            .expect("every delivery is answered 200");
    }
    bridge.await_published();
    let ids: BTreeSet<String> = (0..LANES)
        .flat_map(|lane| {
            let streams = if lane % 2 == 0 { 1 } else { STREAMS };
            (0..streams)
                .flat_map(move |stream| (0..STEPS).map(move |step| id(&call(lane, stream), step)))
        })
        .collect();
    assert_eq!(ids.len(), DELIVERIES);
    judge(&shared_broker().address(), &prefix, &ids);
    let log = bridge.log();
    assert!(!log.contains("not reloaded"), "{log}");
    eprintln!(
        "{DELIVERIES} deliveries kept over {} reloads",
        applied(&bridge)
    );
}

/// What the lanes share.
struct Load {
    /// What everybody signs with; held while a delivery is under way.
    secret: RwLock<String>,
    leave: Semaphore,
}

impl Load {
    async fn post(
        &self,
        mut connection: Connection,
        lane: usize,
        stream: usize,
        steps: std::ops::Range<usize>,
    ) {
        for step in steps {
            self.leave.acquire().await.expect("never closed").forget();
            let body = delivery(&call(lane, stream), step);
            let secret = self.secret.read().await;
            let signature = signature(&secret, &body);
            let answer = connection
                .request(
                    "POST",
                    "/webhooks/default",
                    &[("x-signature", &signature)],
                    body,
                )
                .await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.json()["status"], "stored");
        }
    }
}

fn call(lane: usize, stream: usize) -> String {
    format!("CALL-reload-{lane}-{stream}")
}

fn secret_of(round: usize) -> String {
    format!("the secret of round {round}, long enough")
}

fn configuration(round: usize) -> String {
    let coming = "[webhooks.coming]\nsecrets = [\"file:even\"]\n";
    format!(
        "[listen]\ntls = {{ cert = \"tls.pem\", key = \"tls.key\" }}\n\
         [webhooks.default]\nsecrets = [\"file:even\", \"file:odd\"]\n{}",
        if round % 2 == 1 { coming } else { "" }
    )
}

const ROUNDS: usize = 100;
/// Half of them in HTTP/2, with so many requests at a time.
const LANES: usize = 10;
const STREAMS: usize = 7;
const STEPS: usize = 250;
const STEPS_A_CONNECTION: usize = 50;
const DELIVERIES: usize = LANES / 2 * (1 + STREAMS) * STEPS;
