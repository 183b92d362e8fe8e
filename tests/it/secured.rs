//! TLS and HTTP/2 on the public listener: the same answers, and limits that callers cannot move.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::harness::bridge::{Bridge, SECRET, signature};
use crate::harness::http::{Answer, connect};
use crate::harness::reloading::{install, reload};
use crate::harness::tls::{Authority, openssl};
use crate::harness::web::{Connection, Version};

#[test]
fn each_row_of_the_table_is_answered_alike_over_http2_and_tls() {
    let authority = Authority::new();
    let bridge = secured(&authority)
        .with("LISTEN__MAX_BODY", "64KiB")
        .with("LISTEN__READ_TIMEOUT", "1s")
        .with("JOURNAL__MAX_BYTES", "400KiB")
        .start();
    Runtime::new().expect("a runtime").block_on(async {
        for version in [Version::One, Version::Two] {
            let tls = authority.client(&[version.alpn()]);
            let open = async || {
                Connection::secured(bridge.webhooks_address(), tls.clone())
                    .await
                    .expect("a handshake")
                    .0
            };
            let mut client = open().await;
            assert_eq!(client.version(), version);
            let id = format!("{version:?}");
            let body = json!({ "id": id }).to_string().into_bytes();
            for status in ["stored", "duplicate"] {
                let answer = post(&mut client, &body).await;
                assert_eq!(
                    (answer.status, answer.json()),
                    (200, json!({"status": status, "id": id}))
                );
            }
            for (method, path, code) in [
                ("POST", "/webhooks/default", 401),
                ("POST", "/webhooks/nobody", 404),
                ("POST", "/webhooks/default/more", 404),
                ("GET", "/", 404),
                ("GET", "/webhooks/default", 405),
                ("POST", "/readyz", 405),
            ] {
                // Where the body is not read, the connection ends.
                let answer = open()
                    .await
                    .request(method, path, &[("x-signature", "00")], body.clone())
                    .await;
                let answer = answer.expect("an answer");
                assert_problem(&answer, code);
                assert_eq!(answer.header("allow").is_some(), code == 405, "{answer:?}");
            }
            let ready = client
                .request("GET", "/readyz", &[], Vec::new())
                .await
                .expect("an answer");
            assert_eq!(
                (ready.status, ready.text().as_str()),
                (200, "{\"status\":\"ready\"}")
            );
            let head = client
                .request("HEAD", "/readyz", &[], Vec::new())
                .await
                .expect("an answer");
            assert_eq!((head.status, head.body.len()), (200, 0));

            let large = vec![b'a'; 64 * 1024 + 1];
            assert_problem(&post(&mut open().await, &large).await, 413);
            let stalled = open().await.stall("/webhooks/default", "{\"cut\":").await;
            assert_problem(&stalled.expect("an answer"), 408);
        }
        // Nobody publishes, so that the journal fills.
        let (mut client, _) =
            Connection::secured(bridge.webhooks_address(), authority.client(&[b"h2"]))
                .await
                .expect("a handshake");
        for number in 0..1000 {
            let body = json!({"id": format!("full-{number}"), "more": "x".repeat(4000)});
            let answer = post(&mut client, body.to_string().as_bytes()).await;
            if answer.status != 200 {
                assert_problem(&answer, 503);
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                return;
            }
        }
        panic!("400 KiB hold less than 1000 deliveries");
    });
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let authority = Authority::new();
    let mut bridge = secured(&authority).start();
    let address = bridge.webhooks_address();
    let runtime = Runtime::new().expect("a runtime");
    let open = |version: Version| {
        runtime
            .block_on(Connection::secured(
                address,
                authority.client(&[version.alpn()]),
            ))
            .expect("a handshake")
    };
    let mut old: Vec<_> = [Version::One, Version::Two].map(open).into();
    let (first, second) = (authority.issue("localhost"), authority.issue("second"));
    install(bridge.dir(), &second);
    reload(&mut bridge);
    assert!(
        bridge
            .log()
            .contains("configuration reloaded: another certificate")
    );
    for (connection, shown) in &mut old {
        assert_ne!(*shown, authority.certificate_in(&second.cert));
        assert_eq!(runtime.block_on(post(connection, b"{}")).status, 200);
    }
    for version in [Version::One, Version::Two] {
        let (mut connection, shown) = open(version);
        assert_eq!(shown, authority.certificate_in(&second.cert));
        assert_eq!(runtime.block_on(post(&mut connection, b"{}")).status, 200);
    }
    // A key that is another's changes nothing.
    fs::copy(first.key, bridge.dir().join("tls.key")).expect("the directory is writable");
    crate::harness::reloading::await_notice(&bridge, crate::harness::reloading::refused, 0);
    assert!(
        bridge
            .log()
            .contains("the key in tls.key is not that of the first certificate in tls.pem"),
        "{}",
        bridge.log()
    );
    assert_eq!(open(Version::Two).1, authority.certificate_in(&second.cert));
}

#[test]
fn without_tls_both_versions_are_spoken_on_one_port() {
    let bridge = Bridge::new("127.0.0.1:1").start();
    Runtime::new().expect("a runtime").block_on(async {
        for version in [Version::One, Version::Two] {
            let mut client = Connection::plain(bridge.webhooks_address(), version)
                .await
                .expect("a connection");
            assert_eq!(post(&mut client, b"{}").await.status, 200, "{version:?}");
            // 70 KiB of header are more than the limit of 64 KiB, 60 KiB less.
            for (bytes, expected) in [(60 << 10, 401), (70 << 10, 431)] {
                let filler = "x".repeat(bytes);
                let answer = client
                    .request(
                        "POST",
                        "/webhooks/default",
                        &[("x-filler", &filler)],
                        Vec::new(),
                    )
                    .await;
                assert_eq!(answer.expect("an answer").status, expected, "{version:?}");
            }
        }
    });
}

#[test]
fn a_flood_of_reset_streams_ends_its_connection_and_no_other() {
    let bridge = Bridge::new("127.0.0.1:1").start();
    let runtime = Runtime::new().expect("a runtime");
    let mut other = runtime
        .block_on(Connection::plain(bridge.webhooks_address(), Version::Two))
        .expect("a connection");
    assert_eq!(runtime.block_on(post(&mut other, b"1")).status, 200);
    assert_eq!(reset_streams(bridge.webhooks_address()), ENHANCE_YOUR_CALM);
    assert_eq!(runtime.block_on(post(&mut other, b"2")).status, 200);
}

#[test]
fn a_wrong_certificate_is_told_by_file_with_what_to_do() {
    let authority = Authority::new();
    let (right, other) = (authority.issue("localhost"), authority.issue("other"));
    let bridge = Bridge::new("127.0.0.1:1").with_file("empty.pem", "nothing\n");
    let dir = bridge.dir().to_owned();
    fs::copy(&right.cert, dir.join("cert.pem")).expect("the directory is writable");
    fs::copy(&right.key, dir.join("cert.key")).expect("the directory is writable");
    fs::copy(other.key, dir.join("other.key")).expect("the directory is writable");
    fs::write(dir.join("cut.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n")
        .expect("the directory is writable");
    openssl(
        &dir,
        &[
            "pkey",
            "-aes256",
            "-passout",
            "pass:x",
            "-in",
            "cert.key",
            "-out",
            "encrypted.key",
        ],
    );
    for (tls, told) in [
        (
            "cert = \"absent.pem\", key = \"cert.key\"",
            "bridge.toml:2: listen.tls.cert: cannot read the certificate's file absent.pem: No such file",
        ),
        (
            "cert = \"empty.pem\", key = \"cert.key\"",
            "bridge.toml:2: listen.tls.cert: empty.pem holds no certificate in PEM",
        ),
        (
            "cert = \"cut.pem\", key = \"cert.key\"",
            "listen.tls.cert: the certificate in cut.pem cannot be used: its PEM is damaged",
        ),
        (
            "cert = \"cert.pem\", key = \"absent.key\"",
            "listen.tls.key: cannot read the key's file absent.key: No such file",
        ),
        (
            "cert = \"cert.pem\", key = \"cert.pem\"",
            "listen.tls.key: cert.pem holds no private key in PEM",
        ),
        (
            "cert = \"cert.pem\", key = \"encrypted.key\"",
            "listen.tls.key: the key in encrypted.key is encrypted, and nobody is there to type the password; write it plain: openssl pkey",
        ),
        (
            "cert = \"cert.pem\", key = \"other.key\"",
            "listen.tls.key: the key in other.key is not that of the first certificate in cert.pem; give both files",
        ),
        (
            "cert = \"cert.pem\"",
            "listen.tls.cert: TLS needs both; write listen.tls = { cert",
        ),
    ] {
        let file = format!("[listen]\ntls = {{ {tls} }}\n");
        fs::write(dir.join("bridge.toml"), file).expect("the directory is writable");
        let output = bridge.run(&["serve"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{tls}: {text}");
        assert!(text.contains(told), "{tls}: {text}");
    }
}

#[test]
fn send_asks_for_the_name_of_a_receiver_with_tls() {
    let bridge = secured(&Authority::new());
    let output = bridge.run(&["send"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("give one as in `send https://your.host:"),
        "{text}"
    );
}

/// A bridge with a certificate of that authority, which publishes nowhere.
fn secured(authority: &Authority) -> Bridge {
    let bridge = Bridge::new("127.0.0.1:1").with_file(
        "bridge.toml",
        "[listen]\ntls = { cert = \"tls.pem\", key = \"tls.key\" }\n",
    );
    install(bridge.dir(), &authority.issue("localhost"));
    bridge
}

async fn post(connection: &mut Connection, body: &[u8]) -> Answer {
    let signature = signature(SECRET, body);
    let headers = [("x-signature", signature.as_str())];
    let answer = connection.request("POST", "/webhooks/default", &headers, body.to_vec());
    answer.await.expect("an answer")
}

fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["status"], status);
}

/// Opens streams and resets each at once, until the other side has enough; returns the error that it says.
fn reset_streams(address: SocketAddr) -> u32 {
    let mut stream = connect(address).expect("a connection");
    let mut writing = stream.try_clone().expect("a second handle");
    let flood = std::thread::spawn(move || {
        let settings = frame(4, 0, 0, &[]);
        let mut sent = writing
            .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings].concat());
        // POST http a / in HPACK's static table.
        let head = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
        for number in 0..100_000_u32 {
            let id = 2 * number + 1;
            let both = [
                frame(1, 4, id, &head),
                frame(3, 0, id, &8_u32.to_be_bytes()),
            ]
            .concat();
            sent = sent.and_then(|()| writing.write_all(&both));
            if sent.is_err() {
                return;
            }
        }
    });
    let mut head = [0; 9];
    let error = loop {
        stream
            .read_exact(&mut head)
            .expect("a frame before the end");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).expect("a whole frame");
        if head[3] == 7 {
            break u32::from_be_bytes(payload[4..8].try_into().expect("four bytes"));
        }
    };
    drop(stream);
    flood.join().expect("the flood does not panic");
    error
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const ENHANCE_YOUR_CALM: u32 = 11;
