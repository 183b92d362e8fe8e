//! Rounds of faults under steady load: in odd ones the bridge is killed, in even ones the broker is killed or frozen.
//!
//! `FAULT_ROUNDS` and `FAULT_SEED` say how many rounds there are and what the chance in them is made from. However few
//! they are, every failpoint has its turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atoms_kafka_bridge::failpoint;

use super::chance::Chance;
use super::oracle::{ALL, Verdict};
use super::sender::{REFUSED_ABOVE_BYTES, Sender, Sent};
use super::{PREFIX, await_drained, bridge};
use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{java, kcat, until};

#[test]
fn what_was_answered_is_there_once_and_in_order_after_rounds_of_faults() {
    let count = number("FAULT_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("FAULT_SEED").unwrap_or_else(now_s);
    println!("{count} rounds with seed {seed}: tests/run faults --rounds {count} --seed {seed}");
    let mut rounds = Rounds::start(seed, count);
    for round in 1..=count {
        let began = Instant::now();
        let what = if round % 2 == 1 {
            rounds.break_the_bridge()
        } else {
            rounds.break_the_broker()
        };
        let answered = rounds.sender.answered();
        println!(
            "round {round}/{count}: {what}; well after {:.1?}, {answered} answers so far",
            began.elapsed()
        );
    }
    rounds.judge();
}

struct Rounds {
    chance: Chance,
    broker: Broker,
    bridge: Bridge,
    sender: Sender,
    /// The failpoints' turns, and how many come in a round.
    turns: std::iter::Cycle<std::array::IntoIter<&'static str, { failpoint::NAMES.len() }>>,
    turns_a_round: usize,
    poison: Vec<Sent>,
}

impl Rounds {
    fn start(seed: u64, count: u64) -> Self {
        let broker = Broker::start();
        let limit = REFUSED_ABOVE_BYTES.to_string();
        let topic = format!("{PREFIX}unrecognized");
        broker.create_topic_with(&topic, 3, &[("max.message.bytes", &limit)]);
        let timeout = TRANSACTION_TIMEOUT.as_millis().to_string();
        let bridge = bridge(&broker)
            .with("KAFKA__TRANSACTION_TIMEOUT_MS", &timeout)
            .start();
        bridge.await_publishing();
        let bridge_rounds = usize::try_from(count.div_ceil(2).max(1)).expect("fits");
        Self {
            chance: Chance::new(seed, u64::MAX),
            sender: Sender::start(bridge.webhooks_address(), seed),
            broker,
            bridge,
            turns: failpoint::NAMES.into_iter().cycle(),
            turns_a_round: failpoint::NAMES.len().div_ceil(bridge_rounds),
            poison: Vec::new(),
        }
    }

    /// The bridge is killed at a random moment, and then at the failpoints whose turn it is.
    fn break_the_bridge(&mut self) -> String {
        self.sender.await_more(self.chance.within(3..60));
        self.bridge.kill9();
        let mut what = "the bridge killed".to_owned();
        for _ in 0..self.turns_a_round {
            let name = self.turns.next().expect("a cycle has no end");
            what = format!("{what}, {}", self.die_at(name));
        }
        self.bridge.arm("");
        self.bridge.resume();
        await_drained(&self.bridge, DRAINED_WITHIN);
        what
    }

    /// Starts the bridge and lets it die at a failpoint, or while it stands there.
    fn die_at(&mut self, name: &str) -> String {
        // What happens once in a process happens at its first hit.
        let is_once = name.starts_with("recover.") || name.contains("abort");
        let hit = if is_once { 1 } else { self.chance.within(1..6) };
        let stands = self.chance.one_in(3);
        let action = if stands { "pause:60000ms" } else { "kill" };
        self.bridge.arm(&format!("{name}={action}@{hit}"));
        self.bridge.launch();
        if name.contains("abort") {
            self.poison();
        }
        self.bridge.await_failpoint(name);
        if stands {
            // The others go on for a while: what they do now must be right without what this one has not done.
            std::thread::sleep(Duration::from_millis(self.chance.within(0..300) as u64));
            self.bridge.kill9();
            format!("while it stood at {name} (hit {hit})")
        } else {
            self.bridge.await_crash();
            format!("at {name} (hit {hit})")
        }
    }

    /// Starts the bridge anew and waits until its publisher stands at some step, where it stays for a while.
    fn stand_still(&mut self) -> String {
        let steps = |name: &&str| name.starts_with("publish.") && !name.contains("abort");
        let steps: Vec<&str> = failpoint::NAMES.into_iter().filter(steps).collect();
        let (name, hit) = (*self.chance.pick(&steps), self.chance.within(1..6));
        let ms = self.chance.within(500..5_000);
        self.bridge.kill9();
        self.bridge.arm(&format!("{name}=pause:{ms}ms@{hit}"));
        self.bridge.resume();
        self.bridge.arm("");
        self.bridge.await_failpoint(name);
        format!(" while the bridge stood at {name} for {ms} ms (hit {hit})")
    }

    /// Posts a delivery that its topic refuses, as soon as somebody takes it.
    fn poison(&mut self) {
        let call = format!("POISON-{}", self.poison.len());
        let sent = until("the poison to be answered", REACHED_WITHIN, || {
            let sent = Sent::poison(&call).post(self.bridge.webhooks_address());
            if sent.answered {
                Ok(sent)
            } else {
                Err("no answer".to_owned())
            }
        });
        self.poison.push(sent);
    }

    /// The broker is killed or frozen for a while, sometimes with the bridge killed meanwhile; the answers go on.
    fn break_the_broker(&mut self) -> String {
        self.sender.await_more(self.chance.within(3..60));
        let step = if self.chance.one_in(4) {
            self.stand_still()
        } else {
            String::new()
        };
        let what = if self.chance.one_in(2) {
            self.broker.kill9();
            let with = self.meanwhile();
            self.broker.resume();
            format!("the broker killed{step}{with}")
        } else {
            // Mostly short: the third power of a number below 1.
            let ms = 200 + 7_800 * self.chance.within(0..100).pow(3) / 1_000_000;
            let ends_at = Instant::now() + Duration::from_millis(ms as u64);
            self.broker.stop_signal();
            let with = self.meanwhile();
            std::thread::sleep(ends_at.saturating_duration_since(Instant::now()));
            self.broker.cont_signal();
            format!("the broker frozen for {ms} ms{step}{with}")
        };
        await_drained(&self.bridge, DRAINED_WITHIN);
        what
    }

    fn meanwhile(&mut self) -> &'static str {
        self.sender.await_more(self.chance.within(3..40));
        if self.chance.one_in(3) {
            self.bridge.restart();
            ", the bridge killed meanwhile"
        } else {
            ""
        }
    }

    /// The faults are over: all that was answered drains, something fresh passes, and the topics hold what they must.
    fn judge(self) {
        let mut sent = self.sender.finish();
        sent.extend(self.poison);
        let webhooks = self.bridge.webhooks_address();
        sent.extend(
            (0..4)
                .map(|step| Sent::event("CALL-fresh", step, "post-conversation", 0).post(webhooks)),
        );
        assert!(sent.iter().rev().take(4).all(|sent| sent.answered));
        self.bridge.await_published();
        assert_eq!(self.bridge.kafka_alarm(), None);
        let log = self.bridge.log();
        println!(
            "transactions that Kafka left open: {}",
            log.matches("Kafka has left something").count()
        );
        let verdict = Verdict::of(&self.broker.address(), PREFIX, &sent);
        println!("{verdict}");
        verdict.assert_clean();
        let (all, broker) = (format!("{PREFIX}{ALL}"), self.broker.address());
        let by_kcat = kcat::read(&broker, &all);
        let by_java = java::read(&broker, &all, by_kcat.len());
        assert!(by_kcat == by_java, "Java's consumer reads something else");
        println!(
            "Java's console consumer reads the same {} of {all}",
            by_java.len()
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// In a run of all tests.
const ROUNDS: u64 = 10;
const REACHED_WITHIN: Duration = Duration::from_secs(120);
/// After so long Kafka itself ends a transaction that nobody fences.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(600);
/// Much less than that.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
