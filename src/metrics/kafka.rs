//! What librdkafka tells of itself, as far as an operator acts on it.

use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec, Registry};
use rdkafka::Statistics;

use super::{DISTINCT, opts};

/// Kafka's side, as the producer sees it. Clones share it.
#[derive(Debug, Clone)]
pub struct KafkaMetrics {
    producers: IntCounter,
    queued_records: IntGauge,
    queued_bytes: IntGauge,
    broker_up: IntGaugeVec,
    round_trip: GaugeVec,
    failed_requests: IntGaugeVec,
}

impl KafkaMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            producers: IntCounter::with_opts(opts(
                "producers_total",
                "Producers started; each fences the one before. A rising number says that Kafka ends them.",
            ))
            .expect(DISTINCT),
            queued_records: IntGauge::with_opts(opts(
                "kafka_queued_records",
                "Records in librdkafka's queues and on their way.",
            ))
            .expect(DISTINCT),
            queued_bytes: IntGauge::with_opts(opts(
                "kafka_queued_bytes",
                "The same in bytes.",
            ))
            .expect(DISTINCT),
            broker_up: IntGaugeVec::new(
                opts(
                    "kafka_broker_up",
                    "Whether the producer is connected to a broker that it knows (1) or not (0).",
                ),
                &["broker"],
            )
            .expect(DISTINCT),
            round_trip: GaugeVec::new(
                opts(
                    "kafka_broker_round_trip_seconds",
                    "How long the 99th of a hundred requests took to be answered, over the last window of librdkafka's.",
                ),
                &["broker"],
            )
            .expect(DISTINCT),
            failed_requests: IntGaugeVec::new(
                opts(
                    "kafka_broker_failed_requests",
                    "Requests of the present producer that failed or were not answered in time.",
                ),
                &["broker"],
            )
            .expect(DISTINCT),
        };
        let parts: [Box<dyn prometheus::core::Collector>; 6] = [
            Box::new(metrics.producers.clone()),
            Box::new(metrics.queued_records.clone()),
            Box::new(metrics.queued_bytes.clone()),
            Box::new(metrics.broker_up.clone()),
            Box::new(metrics.round_trip.clone()),
            Box::new(metrics.failed_requests.clone()),
        ];
        for part in parts {
            registry.register(part).expect(DISTINCT);
        }
        metrics
    }

    /// A producer was started.
    pub fn producer_started(&self) {
        self.producers.inc();
    }

    /// librdkafka told of itself.
    pub fn told(&self, told: &Statistics) {
        self.queued_records.set(told.msg_cnt.cast_signed());
        self.queued_bytes.set(told.msg_size.cast_signed());
        // Brokers come and go; what is not told any more is not there any more.
        self.broker_up.reset();
        self.round_trip.reset();
        self.failed_requests.reset();
        for broker in told.brokers.values().filter(|broker| broker.nodeid >= 0) {
            let label = [broker.nodename.as_str()];
            self.broker_up
                .with_label_values(&label)
                .set(i64::from(broker.state == "UP"));
            if let Some(window) = broker.rtt.as_ref().filter(|window| window.cnt > 0) {
                let us = std::time::Duration::from_micros(window.p99.unsigned_abs());
                self.round_trip
                    .with_label_values(&label)
                    .set(us.as_secs_f64());
            }
            let failed = broker.txerrs + broker.rxerrs + broker.req_timeouts;
            self.failed_requests
                .with_label_values(&label)
                .set(failed.cast_signed());
        }
    }
}
