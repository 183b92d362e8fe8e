//! A PostgreSQL of the test's own, in a temporary directory, as Debian packages it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::run;
use crate::harness::process::Process;
use crate::harness::{ports, until};

/// A running database server; dropping it kills the process and removes its data.
#[derive(Debug)]
pub(super) struct Postgres {
    port: String,
    _process: Process,
    _dir: TempDir,
}

impl Postgres {
    /// Starts an empty server that lets the user `bridge` in by any password, and waits until it answers.
    pub(super) fn start() -> Self {
        let dir = TempDir::with_prefix("postgres-").expect("a temporary directory");
        let data = dir.path().join("data").display().to_string();
        let port = ports::free_address().port().to_string();
        let own = own_user(dir.path());
        let command = |program: &str| [&own[..], &[program_path(program)]].concat();

        let initdb = command("initdb");
        let options = [
            "-A",
            "trust",
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        let arguments = initdb[1..].iter().map(String::as_str).chain(["-D", &data]);
        run(Path::new(&initdb[0]), arguments.chain(options));

        let postgres = command("postgres");
        let arguments = postgres[1..].iter().map(String::as_str);
        let arguments = arguments.chain(["-D", &data, "-p", &port, "-c", "fsync=off"]);
        let listen = [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ];
        let process = Process::spawn(
            Path::new(&postgres[0]),
            arguments.chain(listen),
            dir.path(),
            |_| {},
        );
        let server = Self {
            port,
            _process: process,
            _dir: dir,
        };
        until("PostgreSQL to answer", Duration::from_secs(60), || {
            server.try_query("SELECT 1")
        });
        server
    }

    /// What a JDBC driver is given.
    pub(super) fn jdbc_url(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/postgres", self.port)
    }

    /// The rows of a query, their columns parted by `|`.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn try_query(&self, sql: &str) -> Result<Vec<String>, String> {
        let output = Command::new("psql")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port,
                "-U",
                USER,
                "-d",
                "postgres",
            ])
            .args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atqc", sql])
            .output()
            .expect(HOW_TO_GET);
        if output.status.success() {
            let rows = String::from_utf8(output.stdout).expect("UTF-8");
            Ok(rows.lines().map(str::to_owned).collect())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// [`Postgres::try_query`] for what must succeed.
    pub(super) fn query(&self, sql: &str) -> Vec<String> {
        self.try_query(sql)
            .unwrap_or_else(|error| panic!("{error} in {sql}"))
    }
}

/// PostgreSQL refuses to run as root: then the directory is given to the package's own user, and the programs run as that.
fn own_user(dir: &Path) -> Vec<String> {
    if dir.metadata().expect("it was just made").uid() != 0 {
        return Vec::new();
    }
    run(Path::new("chown"), [Path::new("postgres"), dir]);
    [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Debian keeps the server's programs off the path, in a folder of their version.
fn program_path(program: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").expect(HOW_TO_GET);
    let found: Option<PathBuf> = versions
        .map(|version| version.expect("an entry").path().join("bin").join(program))
        .filter(|path| path.is_file())
        .max();
    found.expect(HOW_TO_GET).display().to_string()
}

const USER: &str = "bridge";
const HOW_TO_GET: &str =
    "PostgreSQL is not installed: apt-get install postgresql, or run tests/run once as root";
