//! Journals that hold a lot already.
//!
//! Pending rows are appended as deliveries are. Ids are written into the tables as retention leaves them, since a hundred
//! million deliveries would take hours.

use std::path::Path;

use atoms_kafka_bridge::config::{Ack, Webhook};
use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::journal::{Journal, Options};
use atoms_kafka_bridge::receive::delivery::{Delivery, KeptHeaders, WebhookName};
use atoms_kafka_bridge::time::Timestamp;
use atoms_kafka_bridge::verify::secret::Secret;
use atoms_kafka_bridge::verify::{Verifier, verify};
use bytes::Bytes;
use hyper::HeaderMap;
use rusqlite::Connection;

use crate::body::Template;
use crate::harness::bridge::SECRET;

/// A journal with so many pending deliveries of 0.5 KiB.
pub(crate) fn pending(path: &Path, count: u64) {
    let journal = open(path);
    let template = Template::new(Stage::PreConversation, 0);
    let webhook = Webhook {
        name: WebhookName::parse("default").expect("a name"),
        secrets: vec![Secret::new(SECRET.as_bytes()).expect("not empty")],
        header: None,
        topic_prefix: None,
        ack: Ack::Journal,
    };
    let verifier = Verifier::new(&webhook);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let numbers: Vec<u64> = (0..count).collect();
    for chunk in numbers.chunks(512) {
        let append = |number: &u64| {
            let own = template.request(*number, *number, Timestamp::now().unix_ms());
            let body: Bytes = [template.fixed.as_slice(), own.end.as_bytes()]
                .concat()
                .into();
            let delivery = Delivery {
                webhook: webhook.name.clone(),
                received_at: Timestamp::now(),
                headers: KeptHeaders::default(),
                body,
            };
            let mut headers = HeaderMap::new();
            headers.insert("x-signature", own.signature.parse().expect("hex"));
            journal.append(verify(delivery, &headers, &verifier).expect("it is signed"))
        };
        // Each is queued by the call, and only awaited one after another.
        let appends: Vec<_> = chunk.iter().map(append).collect();
        runtime.block_on(async {
            for appended in appends {
                appended.await.expect("the disk takes it");
            }
        });
    }
    journal.close();
}

/// A journal that knows so many deliveries without their bodies, as they came some hours ago.
pub(crate) fn ids(path: &Path, count: u64) {
    open(path).close();
    let journal = Connection::open(path).expect("a journal");
    let ms = Timestamp::now().unix_ms() - 6 * 3_600_000;
    journal
        .execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000;
             BEGIN;
             INSERT INTO webhook VALUES (1, 'default');
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             INSERT INTO delivery(seq, webhook, id, hash, received_ms, headers, crc, out_seq)
             SELECT n, 1, printf('6900000%017x', n), randomblob(32), {ms},
                    '{{\"ct\":\"application/json\",\"ua\":\"Atoms-Webhook/1.0\"}}', 0, n FROM n;
             INSERT INTO seen SELECT id, 1, substr(hash, 1, 16), seq FROM delivery ORDER BY seq;
             UPDATE state SET next_seq = {count} + 1, next_out_seq = {count} + 1, settled_out_seq = {count} + 1;
             COMMIT;
             PRAGMA journal_mode = WAL;"
        ))
        .expect("the tables are as they were");
}

fn open(path: &Path) -> Journal {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("it is writable");
    let options = Options {
        max_bytes: 60 << 30,
        ..Options::default()
    };
    Journal::open_with(path, &options).expect("a journal")
}
