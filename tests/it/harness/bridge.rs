//! The built binary as an operator runs it: `serve` in a directory of its own, configured from the environment.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;

use super::http::{Answer, Client};
use super::process::{Process, Usage};
use super::{logs, ports, until};

/// The secret that every bridge here is given, as `ATOMS_WEBHOOK_SECRET`, and every delivery is signed with.
pub(crate) const SECRET: &str = "a secret for tests, long enough";

/// A bridge; dropping it kills the process and removes its journal.
#[derive(Debug)]
pub(crate) struct Bridge {
    process: Option<Process>,
    webhooks: SocketAddr,
    health: SocketAddr,
    console: Option<SocketAddr>,
    environment: BTreeMap<String, String>,
    arguments: Vec<&'static str>,
    /// How long the log was at the last start.
    log_before: usize,
    wrapper: Vec<String>,
    dir: TempDir,
}

impl Bridge {
    /// A bridge for that broker, not yet started.
    pub(crate) fn new(broker: &str) -> Self {
        let dir = TempDir::with_prefix("bridge-").expect("a temporary directory");
        let bridge = Self {
            process: None,
            webhooks: ports::free_address(),
            health: ports::free_address(),
            console: None,
            environment: BTreeMap::from([("ATOMS_WEBHOOK_SECRET".to_owned(), SECRET.to_owned())]),
            arguments: vec!["serve"],
            log_before: 0,
            wrapper: Vec::new(),
            dir,
        };
        let (webhooks, health) = (bridge.webhooks.to_string(), bridge.health.to_string());
        bridge
            .with("KAFKA__BOOTSTRAP_SERVERS", broker)
            .with("LISTEN__WEBHOOKS", &webhooks)
            .with("LISTEN__HEALTH", &health)
            .with("LISTEN__CONSOLE", "off")
    }

    /// Gives it a console.
    pub(crate) fn with_console(mut self) -> Self {
        let console = ports::free_address();
        self.console = Some(console);
        self.with("LISTEN__CONSOLE", &console.to_string())
    }

    /// Where its console is.
    pub(crate) fn console_address(&self) -> SocketAddr {
        self.console.expect("a console was asked for")
    }

    /// A bridge with nothing set but Kafka's address and the secret: it listens where the defaults say, so its test
    /// holds [`ports::default_ports`].
    pub(crate) fn with_two_variables(broker: &str) -> Self {
        let mut bridge = Self::new(broker);
        bridge
            .environment
            .retain(|name, _| !name.contains("__LISTEN__"));
        assert_eq!(bridge.environment.len(), 2);
        bridge.webhooks = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        bridge.health = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081));
        bridge
    }

    /// Adds a global option of the command line, such as `-vv`.
    pub(crate) fn with_argument(mut self, argument: &'static str) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Runs `serve` under another program, which must make way for it: the next start's process id is to be the bridge's.
    pub(crate) fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// Sets a configuration key, such as `TOPICS__PREFIX`; counts from the next start.
    pub(crate) fn with(self, key: &str, value: &str) -> Self {
        self.with_variable(&format!("ATOMS_BRIDGE__{key}"), value)
    }

    /// [`Bridge::with`] for a bridge that has run before.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.environment
            .insert(format!("ATOMS_BRIDGE__{key}"), value.to_owned());
    }

    /// [`Bridge::with_variable`] for a bridge that has run before.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Sets any variable of the environment.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes a variable away again, such as the secret that every bridge here is given.
    pub(crate) fn without_variable(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Puts a file into the working directory, such as `bridge.toml`.
    pub(crate) fn with_file(self, name: &str, content: &str) -> Self {
        fs::write(self.dir.path().join(name), content).expect("the directory is writable");
        self
    }

    /// Starts `serve` and waits until it can make a delivery durable.
    pub(crate) fn start(mut self) -> Self {
        self.resume();
        self
    }

    /// Starts `serve` again on the same directory and addresses.
    pub(crate) fn resume(&mut self) {
        self.launch();
        self.await_ready();
    }

    /// Starts `serve` without waiting, for a start that is meant to fail.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "the bridge runs already");
        self.log_before = self.log().len();
        let file = fs::read_to_string(self.dir.path().join("bridge.toml")).unwrap_or_default();
        logs::note_secrets(&self.environment, &file);
        logs::keep(self.dir.path());
        let configure = |command: &mut Command| set_environment(command, &self.environment);
        let own = std::iter::once(BINARY).chain(self.arguments.iter().copied());
        let mut line = self.wrapper.iter().map(String::as_str).chain(own);
        let program = line.next().expect("there is always the binary");
        self.process = Some(Process::spawn(
            Path::new(program),
            line,
            self.dir.path(),
            configure,
        ));
    }

    /// Runs another command of the binary beside `serve`: same directory, same environment.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        set_environment(&mut command, &self.environment);
        let output = command
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .expect("the bridge is built");
        logs::keep_output(&output.stderr);
        output
    }

    /// Begins another command of the binary, and does not wait for it.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Process {
        let line = std::iter::once(BINARY).chain(arguments.iter().copied());
        let mut line = line.map(str::to_owned);
        let program = line.next().expect("there is always the binary");
        Process::spawn(Path::new(&program), line, self.dir.path(), |command| {
            set_environment(command, &self.environment);
        })
    }

    /// Kills the bridge at once; journal and addresses stay for [`Bridge::resume`].
    pub(crate) fn kill9(&mut self) {
        self.running().kill9();
        self.process = None;
    }

    /// Sets what happens at failpoints from the next start on: `NAME=kill@3`, `NAME=pause:500ms`, or nothing.
    pub(crate) fn arm(&mut self, failpoints: &str) {
        let name = "ATOMS_BRIDGE_FAILPOINTS".to_owned();
        self.environment.insert(name, failpoints.to_owned());
    }

    /// Waits until an armed failpoint is reached.
    pub(crate) fn await_failpoint(&self, name: &str) {
        let reached = format!("failpoint {name} reached");
        until(&reached, READY_WITHIN, || {
            if self.log_of_this_start().contains(&reached) {
                Ok(())
            } else {
                Err("it is not".to_owned())
            }
        });
    }

    /// Waits until the bridge has ended as a failpoint's `kill` ends it; stays for [`Bridge::resume`].
    pub(crate) fn await_crash(&mut self) {
        let code = self.running().wait(Duration::from_secs(10));
        assert_eq!(code, 128 + 6, "abort is a signal; the log:\n{}", self.log());
        self.process = None;
    }

    /// Asks the bridge to end, waits, and returns its exit code.
    pub(crate) fn term(&mut self, limit: Duration) -> i32 {
        self.running().signal("TERM");
        let code = self.running().wait(limit);
        self.process = None;
        code
    }

    /// Kills the bridge and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.resume();
    }

    /// Signs a body and posts it on a connection of its own.
    pub(crate) fn post(&self, webhook: &str, body: &[u8]) -> Answer {
        post(&mut self.client(), webhook, body).expect("the bridge answers")
    }

    /// Posts each lane's bodies one after another on one connection, the lanes side by side.
    ///
    /// The answers stand as the bodies did. Order within a call needs its deliveries on one lane.
    pub(crate) fn post_lanes(
        &self,
        webhook: &str,
        lanes: &[Vec<Vec<u8>>],
    ) -> Vec<Vec<io::Result<Answer>>> {
        thread::scope(|scope| {
            let post_lane = |lane: &[Vec<u8>]| {
                let mut client = self.client();
                lane.iter()
                    .map(|body| post(&mut client, webhook, body))
                    .collect()
            };
            let running: Vec<_> = lanes
                .iter()
                .map(|lane| scope.spawn(move || post_lane(lane)))
                .collect();
            running
                .into_iter()
                .map(|lane| lane.join().expect("a lane does not panic"))
                .collect()
        })
    }

    /// A client of the public listener.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.webhooks)
    }

    /// Asks the health listener.
    pub(crate) fn health(&self, path: &str) -> io::Result<Answer> {
        Client::new(self.health).get(path)
    }

    /// Waits until Kafka has everything that was accepted.
    pub(crate) fn await_published(&self) {
        until(
            "every delivery to be published",
            PUBLISHED_WITHIN,
            || match self.pending() {
                0 => Ok(()),
                pending => Err(format!("{pending} are pending; {:?}", self.kafka_alarm())),
            },
        );
    }

    /// How many deliveries wait for Kafka, by the bridge's own command.
    pub(crate) fn pending(&self) -> u64 {
        let output = self.run(&["journal", "status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let pending = status.get("pending").and_then(Value::as_u64);
        pending.expect("a count")
    }

    /// What keeps the bridge from publishing, by its health; `None` when nothing does.
    pub(crate) fn kafka_alarm(&self) -> Option<String> {
        let health = self.health("/readyz").expect("the bridge answers").json();
        let reason = health.pointer("/kafka/reason")?;
        Some(reason.as_str().expect("a reason").to_owned())
    }

    /// Waits until the bridge publishes.
    pub(crate) fn await_publishing(&self) {
        until("the bridge to publish", PUBLISHED_WITHIN, || {
            self.kafka_alarm().map_or(Ok(()), Err)
        });
    }

    /// Where the public listener is.
    pub(crate) fn webhooks_address(&self) -> SocketAddr {
        self.webhooks
    }

    /// Whether it says that it can make a delivery durable, and why not.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        match self.health("/readyz").expect("the bridge answers") {
            answer if answer.status == 200 => Ok(()),
            answer => Err(answer.text()),
        }
    }

    /// Waits until it takes deliveries again, or no more.
    pub(crate) fn await_readiness(&self, ready: bool) {
        until("readiness to change", READY_WITHIN, || {
            match (self.readiness(), ready) {
                (Ok(()), true) | (Err(_), false) => Ok(()),
                (other, _) => Err(format!("{other:?}")),
            }
        });
    }

    /// Its working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it keeps its journal, unless that was configured otherwise.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.dir.path().join("data/journal.db")
    }

    /// What it wrote to standard error, over all its starts.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("stderr.log")).unwrap_or_default())
            .into_owned()
    }

    /// What it wrote to standard error since its last start.
    pub(crate) fn log_of_this_start(&self) -> String {
        self.log().split_off(self.log_before)
    }

    /// Memory and processor time since its start.
    pub(crate) fn usage(&self) -> Usage {
        self.process.as_ref().expect("the bridge runs").usage()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the bridge runs").pid()
    }

    /// The running process, for signals of one's own.
    pub(crate) fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the bridge runs")
    }

    /// Waits until a launched bridge can make a delivery durable.
    pub(crate) fn await_ready(&mut self) {
        let mut client = Client::new(self.health);
        let process = self.running();
        until("the bridge to be ready", READY_WITHIN, || {
            assert_eq!(
                process.ended(),
                None,
                "the bridge ended; its log:\n{}",
                process.log_tail()
            );
            match client.get("/readyz") {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}; its log:\n{}", process.log_tail())),
            }
        });
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // The directory goes with the bridge, so a failing test shows the log here or never.
        if let Some(process) = self.process.as_ref().filter(|_| thread::panicking()) {
            eprintln!("the end of the bridge's log:\n{}", process.log_tail());
        }
    }
}

/// The signature that the sender puts into `X-Signature`.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Signs a body and posts it on a client's connection.
pub(crate) fn post(client: &mut Client, webhook: &str, body: &[u8]) -> io::Result<Answer> {
    post_with(client, webhook, &[], body)
}

/// [`post`] with further headers.
pub(crate) fn post_with(
    client: &mut Client,
    webhook: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let signature = signature(SECRET, body);
    let own = [
        ("content-type", "application/json"),
        ("x-signature", signature.as_str()),
    ];
    let headers = [&own, headers].concat();
    client.request("POST", &format!("/webhooks/{webhook}"), &headers, body)
}

/// Only what the test sets: a developer's own settings for a bridge must not decide a test.
fn set_environment(command: &mut Command, environment: &BTreeMap<String, String>) {
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("ATOMS_") || name.starts_with("OTEL_"))
    {
        command.env_remove(name);
    }
    command.envs(environment);
}

const BINARY: &str = env!("CARGO_BIN_EXE_atoms-kafka-bridge");
/// Longer than a broker takes to come back, and than a producer clings to one that went.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(180);
const READY_WITHIN: Duration = Duration::from_secs(90);
