//! What is printed: ratios first, absolutes behind them.

use std::fs;

use crate::Load;
use crate::measure::Measured;

/// On what machine.
pub(crate) fn surroundings() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "atoms-kafka-bridge {} on {cores} cores of {}, broker and load on the same\n",
        env!("CARGO_PKG_VERSION"),
        model.unwrap_or("an unknown processor"),
    );
}

/// The titles of what [`line`] prints.
pub(crate) fn head() {
    println!(
        "ratio: the bridge's figure to the floor's, medians of the rounds; then each one's own. Times in ms, processor time in µs"
    );
    println!("an event; Kafka: from the last byte to the commit, between a histogram's buckets.\n");
    println!(
        "| load | ratio CPU | ratio p99 | CPU | events/s | p50 | p99 | Kafka p50 | p99 | MiB | written/event | floor: CPU | events/s | p50 | p99 | written/event |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
}

/// A load's line.
pub(crate) fn line(load: &Load, rounds: &[(Measured, Measured)]) {
    let road = |figure: fn(&Measured) -> f64| median(rounds.iter().map(|(road, _)| figure(road)));
    let floor =
        |figure: fn(&Measured) -> f64| median(rounds.iter().map(|(_, floor)| figure(floor)));
    let cpu = (road(|it| it.cpu_us), floor(|it| it.cpu_us));
    let p99 = (road(|it| it.p99_ms), floor(|it| it.p99_ms));
    println!(
        "| {} | **{:.2}** | **{:.2}** | {:.1} | {:.0} | {:.2} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} | {:.2} | {:.1} | {:.0} |",
        load.name,
        cpu.0 / cpu.1,
        p99.0 / p99.1,
        cpu.0,
        road(|it| it.per_second),
        road(|it| it.p50_ms),
        p99.0,
        road(|it| it.kafka_p50_ms),
        road(|it| it.kafka_p99_ms),
        road(|it| it.rss_mib),
        road(|it| it.written_bytes),
        cpu.1,
        floor(|it| it.per_second),
        floor(|it| it.p50_ms),
        p99.1,
        floor(|it| it.written_bytes),
    );
}

/// What each part of the floor costs, and how much later the bridge's slowest answers come.
pub(crate) fn floor(load: &Load, rounds: &[(Measured, [Measured; 3])]) {
    println!(
        "\nThe floor under {}, part by part, medians: CPU, events/s, p99; how many times that is the bridge's p99",
        load.name
    );
    let p99_ms = median(rounds.iter().map(|(road, _)| road.p99_ms));
    let names = ["HMAC and answer", "and append, fdatasync", "and produce"];
    for (place, name) in names.into_iter().enumerate() {
        let part = |figure: fn(&Measured) -> f64| {
            let parts = rounds.iter().filter_map(|(_, parts)| parts.get(place));
            median(parts.map(figure))
        };
        println!(
            "  {name}: {:.1} µs, {:.0}, {:.1} ms; {:.2}",
            part(|it| it.cpu_us),
            part(|it| it.per_second),
            part(|it| it.p99_ms),
            p99_ms / part(|it| it.p99_ms),
        );
    }
}

/// How many fsyncs an event took.
pub(crate) fn fsyncs(counted: &[(&Load, f64)]) {
    println!("\nfsyncs an event, counted by strace in runs of their own:");
    for (load, count) in counted {
        println!("  {}: {count:.3}", load.name);
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
