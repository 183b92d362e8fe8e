//! A real Apache Kafka: one process that is broker and controller, on a loopback port, gone with the tests.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, Usage};
use super::{java, kcat, markers, ports, until};

/// A broker; dropping it kills the process and removes its data.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Option<Process>,
    listener: SocketAddr,
    controller: SocketAddr,
    dir: TempDir,
}

impl Broker {
    /// Starts a broker of the tests' own settings and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// [`Broker::start`] with further lines of `server.properties`; of two with one name the given one counts.
    pub(crate) fn start_with(overrides: &[(&str, &str)]) -> Self {
        let mut broker = Self::prepare(overrides);
        broker.resume();
        broker
    }

    /// A broker with its address and an empty data directory, not started: for outages from the first second.
    pub(crate) fn prepare(overrides: &[(&str, &str)]) -> Self {
        Self::prepare_at(ports::free_address(), ports::free_address(), overrides)
    }

    /// A second broker of the cluster that `first` controls, with the node id 2, not started.
    pub(crate) fn prepare_beside(first: &Self, overrides: &[(&str, &str)]) -> Self {
        let listener = ports::free_address();
        let listeners = format!("PLAINTEXT://{listener}");
        let own = [
            ("process.roles", "broker"),
            ("node.id", "2"),
            ("listeners", &listeners),
        ];
        Self::prepare_at(listener, first.controller, &[&own, overrides].concat())
    }

    /// A broker that also listens at the second address for a user who may do only what an ACL says; whoever comes by the
    /// first may do everything.
    pub(crate) fn start_with_user(user: &str, password: &str) -> (Self, String) {
        let (listener, controller) = (ports::free_address(), ports::free_address());
        let users = ports::free_address();
        let listeners = format!("PLAINTEXT://{listener},CONTROLLER://{controller},USERS://{users}");
        let advertised = format!("PLAINTEXT://{listener},USERS://{users}");
        let login = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";"
        );
        let overrides = [
            ("listeners", listeners.as_str()),
            ("advertised.listeners", &advertised),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT",
            ),
            ("listener.name.users.sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.users.plain.sasl.jaas.config", &login),
            (
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            ),
            ("super.users", "User:ANONYMOUS"),
        ];
        let mut broker = Self::prepare_at(listener, controller, &overrides);
        broker.resume();
        (broker, users.to_string())
    }

    fn prepare_at(
        listener: SocketAddr,
        controller: SocketAddr,
        overrides: &[(&str, &str)],
    ) -> Self {
        let dir = TempDir::with_prefix("kafka-").expect("a temporary directory");
        fs::write(
            dir.path().join("server.properties"),
            properties(listener, controller, dir.path(), overrides),
        )
        .expect("the directory is writable");
        format(dir.path());
        Self {
            process: None,
            listener,
            controller,
            dir,
        }
    }

    /// `host:port`, the same for the broker's whole life.
    pub(crate) fn address(&self) -> String {
        self.listener.to_string()
    }

    /// Creates a topic by Kafka's own tool.
    pub(crate) fn create_topic(&self, name: &str, partitions: u32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// [`Broker::create_topic`] with topic settings, such as `max.message.bytes`.
    pub(crate) fn create_topic_with(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let partitions = partitions.to_string();
        let settings: Vec<String> = settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mut arguments = vec!["--create", "--topic", name, "--partitions", &partitions];
        arguments.extend(settings.iter().flat_map(|setting| ["--config", setting]));
        java::tool(
            &self.address(),
            "org.apache.kafka.tools.TopicCommand",
            &arguments,
        );
    }

    /// Deletes all records of a topic with one partition, as its retention would.
    pub(crate) fn delete_records(&self, topic: &str) {
        let all = serde_json::json!({ "version": 1, "partitions": [{ "topic": topic, "partition": 0, "offset": -1 }] });
        let file = self.dir.path().join(format!("delete-{topic}.json"));
        fs::write(&file, all.to_string()).expect("the directory is writable");
        java::tool(
            &self.address(),
            "org.apache.kafka.tools.DeleteRecordsCommand",
            &["--offset-json-file", file.to_str().expect("UTF-8")],
        );
    }

    /// Kills the broker as a power cut of its machine's process would; data and address stay for [`Broker::resume`].
    pub(crate) fn kill9(&mut self) {
        self.running().kill9();
        self.process = None;
    }

    /// Ends the broker in good order; data and address stay for [`Broker::resume`].
    pub(crate) fn term(&mut self) {
        self.running().signal("TERM");
        self.running().wait(Duration::from_secs(30));
        self.process = None;
    }

    /// Starts the broker on its data and address, and waits until it answers.
    pub(crate) fn resume(&mut self) {
        assert!(
            self.process.is_none(),
            "the broker at {} runs already",
            self.listener
        );
        let heap = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let class_path = java::class_path();
        let arguments =
            heap.into_iter()
                .chain(["-cp", &class_path, "kafka.Kafka", "server.properties"]);
        self.process = Some(Process::spawn(
            Path::new("java"),
            arguments,
            self.dir.path(),
            |_| {},
        ));
        self.await_ready();
    }

    /// Kills the broker and starts it again on the same data and address.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.resume();
    }

    /// Freezes the broker: its sockets stay open and nothing answers.
    pub(crate) fn stop_signal(&mut self) {
        self.running().signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub(crate) fn cont_signal(&mut self) {
        self.running().signal("CONT");
    }

    /// How many bytes it has appended to the topics whose names begin so, replicated or not.
    pub(crate) fn log_bytes(&self, prefix: &str) -> u64 {
        self.logs(&[prefix]).values().sum()
    }

    /// How long the log of each partition is whose name begins with one of these.
    pub(crate) fn logs(&self, prefixes: &[&str]) -> markers::Lengths {
        markers::lengths(&self.dir.path().join("data"), prefixes)
    }

    /// Memory and processor time of the broker.
    pub(crate) fn usage(&self) -> Usage {
        self.process.as_ref().expect("the broker runs").usage()
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the broker runs")
    }

    fn await_ready(&mut self) {
        let address = self.address();
        let process = self.running();
        until("Apache Kafka to answer", READY_WITHIN, || {
            let ended = process.ended();
            assert_eq!(
                ended,
                None,
                "the broker ended; its log:\n{}",
                process.log_tail()
            );
            kcat::answers(&address)
                .map_err(|error| format!("{error}; its log:\n{}", process.log_tail()))
        });
    }
}

/// `server.properties`: KRaft in one process, internal topics small and unreplicated, no waiting for group members.
fn properties(
    listener: SocketAddr,
    controller: SocketAddr,
    dir: &Path,
    overrides: &[(&str, &str)],
) -> String {
    let own = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &format!("1@{controller}")),
        ("controller.listener.names", "CONTROLLER"),
        (
            "listeners",
            &format!("PLAINTEXT://{listener},CONTROLLER://{controller}"),
        ),
        ("advertised.listeners", &format!("PLAINTEXT://{listener}")),
        (
            "listener.security.protocol.map",
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        ),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("log.dirs", &format!("{}/data", dir.display())),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("group.initial.rebalance.delay.ms", "0"),
        // A killed broker's registration is good for this long and keeps its successor out; the default is 9 s.
        ("broker.session.timeout.ms", "2000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    // Of two lines with one name, Java's reader of properties keeps the later.
    own.iter()
        .chain(overrides)
        .fold(String::new(), |mut lines, (name, value)| {
            writeln!(lines, "{name}={value}").expect("a String grows");
            lines
        })
}

/// Writes the cluster's identity into the empty data directory, without which KRaft does not start.
fn format(dir: &Path) {
    let output = Command::new("java")
        .args([
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &java::class_path(),
            "kafka.tools.StorageTool",
            "format",
        ])
        .args([
            "--cluster-id",
            "AtomsBridgeTestsCluste",
            "--config",
            "server.properties",
        ])
        .current_dir(dir)
        .output()
        .expect("java is not installed: run tests/run once as root");
    assert!(
        output.status.success(),
        "StorageTool format: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const READY_WITHIN: Duration = Duration::from_secs(60);
