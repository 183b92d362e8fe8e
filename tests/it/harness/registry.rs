//! A real schema registry: Apicurio Registry, which speaks the Confluent-compatible API, on a loopback port.
//!
//! What was registered lies in a file of its directory, so that it is there again after a kill and [`Registry::resume`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, Client};
use super::process::Process;
use super::{java, ports, until};

/// A registry; dropping it kills the process and removes its data.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Option<Process>,
    address: SocketAddr,
    environment: Vec<(String, String)>,
    dir: TempDir,
}

/// One registry for all tests that do not break it; started by the first that asks. Its subjects are named after
/// topics, so use a topic prefix from [`super::unique`].
pub(crate) fn shared_registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::start)
}

impl Registry {
    /// Starts an empty registry and waits until it answers.
    pub(crate) fn start() -> Self {
        let mut registry = Self::prepare();
        registry.resume();
        registry
    }

    /// A registry with its address, not started: for outages from the first second.
    pub(crate) fn prepare() -> Self {
        Self {
            process: None,
            address: ports::free_address(),
            environment: Vec::new(),
            dir: TempDir::with_prefix("registry-").expect("a temporary directory"),
        }
    }

    /// Sets one of Apicurio's or Quarkus' own variables; counts from the next start.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What clients are given as the registry's address, the same for its whole life.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{API}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its working directory, in which its data lie.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the registry at once; data and address stay for [`Registry::resume`].
    pub(crate) fn kill9(&mut self) {
        self.running().kill9();
        self.process = None;
    }

    /// Starts the registry on its data and address, and waits until it answers.
    pub(crate) fn resume(&mut self) {
        assert!(
            self.process.is_none(),
            "the registry at {} runs already",
            self.address
        );
        let jar = jar();
        let jvm = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(Path::new);
        let arguments = jvm.into_iter().chain([Path::new("-jar"), &jar]);
        let database = format!("jdbc:h2:file:{}/registry", self.dir.path().display());
        let configure = |command: &mut Command| {
            command
                .env("QUARKUS_HTTP_HOST", self.address.ip().to_string())
                .env("QUARKUS_HTTP_PORT", self.address.port().to_string())
                .env("APICURIO_DATASOURCE_URL", database)
                .envs(self.environment.iter().map(|(name, value)| (name, value)));
        };
        self.process = Some(Process::spawn(
            Path::new("java"),
            arguments,
            self.dir.path(),
            configure,
        ));
        self.await_ready();
    }

    /// Freezes the registry: its sockets stay open and nothing answers.
    pub(crate) fn stop_signal(&mut self) {
        self.running().signal("STOP");
    }

    /// Lets a frozen registry go on.
    pub(crate) fn cont_signal(&mut self) {
        self.running().signal("CONT");
    }

    /// Asks a path below the API's root, such as `/subjects`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &Value::Null)
    }

    /// Sends JSON to a path below the API's root; null sends no body.
    pub(crate) fn request(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("content-type", "application/vnd.schemaregistry.v1+json")];
        Client::new(self.address)
            .request(method, &format!("{API}{path}"), &headers, body.as_bytes())
            .expect("the registry answers")
    }

    /// Registers a JSON schema as any client would and returns its id. Panics with the registry's words if it refuses.
    pub(crate) fn register(&self, subject: &str, schema: &str) -> u32 {
        let body = json!({ "schemaType": "JSON", "schema": schema });
        let answer = self.request("POST", &format!("/subjects/{subject}/versions"), &body);
        assert_eq!(answer.status, 200, "{subject}: {}", answer.text());
        let id = answer.json()["id"].as_u64().expect("an id");
        u32::try_from(id).expect("ids have 32 bits")
    }

    /// The versions of a subject; none of one that is not there.
    pub(crate) fn versions(&self, subject: &str) -> Vec<u64> {
        let answer = self.get(&format!("/subjects/{subject}/versions"));
        if answer.status == 404 {
            return Vec::new();
        }
        let versions = answer.json();
        let versions = versions.as_array().into_iter().flatten();
        versions.filter_map(Value::as_u64).collect()
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the registry runs")
    }

    fn await_ready(&mut self) {
        let mut client = Client::new(self.address);
        let process = self.running();
        until("Apicurio Registry to answer", READY_WITHIN, || {
            let ended = process.ended();
            assert_eq!(
                ended,
                None,
                "the registry ended; its log:\n{}",
                process.log_tail()
            );
            match client.get(&format!("{API}/subjects")) {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}; its log:\n{}", process.log_tail())),
            }
        });
    }
}

/// Where `tests/run` unpacked it: beside Kafka's jars.
fn jar() -> PathBuf {
    let jar = java::brought("registry/app").join("apicurio-registry-app-3.0.9-runner.jar");
    assert!(
        jar.is_file(),
        "no registry at {}: run tests/run once, it fetches it",
        jar.display()
    );
    jar
}

/// The Confluent-compatible API.
pub(crate) const API: &str = "/apis/ccompat/v7";
const READY_WITHIN: Duration = Duration::from_secs(60);
