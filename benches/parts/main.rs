//! What each part of the road takes by itself, in time and in allocations: `tests/run bench parts`.

mod pieces;

use atoms_kafka_bridge::journal::Journal;
use criterion::{BenchmarkId, Criterion, Throughput};
use pieces::{Piece, Signed};
use serde_json::Value;

fn main() {
    allocations(&pieces::all());
    let mut criterion = Criterion::default().configure_from_args();
    for piece in pieces::all() {
        let mut group = criterion.benchmark_group(piece.part);
        group.throughput(Throughput::Bytes(piece.bytes as u64));
        group.bench_function(piece.body, |bencher| bencher.iter(|| piece.run()));
        group.finish();
    }
    append(&mut criterion);
    criterion.final_summary();
}

fn allocations(pieces: &[Piece]) {
    println!("| part | body | allocations | bytes allocated |\n|---|---|---|---|");
    for piece in pieces {
        let counted = allocation_counter::measure(|| piece.run());
        println!(
            "| {} | {} | {} | {} |",
            piece.part, piece.body, counted.count_total, counted.bytes_total
        );
    }
    println!();
}

/// Durable appends of new deliveries, alone and many at a time: what they wait for is the disk.
fn append(criterion: &mut Criterion) {
    let dir = tempfile::TempDir::with_prefix("journal-").expect("a temporary directory");
    let journal = Journal::open(&dir.path().join("journal.db")).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("append, with its fsync");
    let mut number = 0_u64;
    for at_once in [1, 64] {
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(BenchmarkId::from_parameter(at_once), |bencher| {
            let fresh = || {
                number += 1;
                (0..at_once)
                    .map(|place| delivery(number * 64 + place))
                    .collect::<Vec<_>>()
            };
            bencher.iter_batched(
                fresh,
                |deliveries| {
                    // Each is queued by the call, and only awaited one after another.
                    let appends = deliveries.iter().map(|one| journal.append(one.verify()));
                    let appends: Vec<_> = appends.collect();
                    runtime.block_on(async {
                        for appended in appends {
                            appended.await.expect("the disk takes it");
                        }
                    });
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    journal.close();
}

fn delivery(number: u64) -> Signed {
    let mut body: Value = serde_json::from_slice(&pieces::six_kib()).expect("JSON");
    let id = body.get_mut("id").expect("an id");
    *id = format!("{number:024x}").into();
    Signed::new(body.to_string().into())
}
