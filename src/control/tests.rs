//! Commands change things through a running bridge or by themselves, and nobody else does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::config::Config;
use crate::journal::Journal;

#[test]
fn a_running_bridge_is_asked_and_otherwise_the_lock_is_taken() {
    let (_dir, config) = configured();
    let missing = Control::open(&config).map(|_| ()).unwrap_err();
    assert!(matches!(missing, ControlError::Missing(_)), "{missing}");

    let running = Running::start(&config);
    let mut control = Control::open(&config).unwrap();
    assert!(control.is_running());
    let replay = |seqs| Request::Replay { seqs };
    let gone = |gone| Response::Replayed {
        queued: 0,
        pending: 0,
        gone,
    };
    assert_eq!(control.ask(replay(vec![1, 2])).unwrap(), gone(2));
    let most = vec![u64::MAX / 2; BATCH];
    assert_eq!(control.ask(replay(most)).unwrap(), gone(BATCH as u64));
    let too_many = control.ask(replay(vec![1; BATCH + 1])).unwrap_err();
    assert!(matches!(too_many, ControlError::Failed(_)), "{too_many}");
    let retried = control.ask(Request::Retry { ids: vec![7] }).unwrap();
    let nothing = Retried {
        gone: 1,
        ..Retried::default()
    };
    assert_eq!(retried, Response::Retried(nothing));
    let path = socket_path(&config.journal.path);
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.stop();
    assert!(!path.exists());

    let mut control = Control::open(&config).unwrap();
    assert!(!control.is_running());
    assert_eq!(control.ask(replay(vec![1])).unwrap(), gone(1));
}

#[test]
fn what_a_killed_bridge_left_is_in_nobodys_way() {
    let (_dir, config) = configured();
    drop(Journal::open(&config.journal.path).unwrap());
    let path = socket_path(&config.journal.path);
    // A socket without a listener, as after a kill.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(!Control::open(&config).unwrap().is_running());
    let running = Running::start(&config);
    assert!(Control::open(&config).unwrap().is_running());
    running.stop();
}

#[test]
fn a_line_that_is_no_request_or_too_long_changes_nothing() {
    let (_dir, config) = configured();
    let running = Running::start(&config);
    for line in [
        "nonsense\n".to_owned(),
        "{\"do\":\"format-the-disk\"}\n".to_owned(),
        "{\"do\":\"replay\"}\n".to_owned(),
        format!(
            "{{\"do\":\"drop\",\"ids\":[{}]}}\n",
            "1,".repeat(LINE_BYTES)
        ),
    ] {
        let mut stream = UnixStream::connect(socket_path(&config.journal.path)).unwrap();
        // What is too long may be cut off while it is written.
        let _ = stream.write_all(line.as_bytes());
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        let failed = answer.contains("\"did\":\"failed\"");
        assert!(failed || line.len() > LINE_BYTES, "{answer}");
    }
    assert!(Control::open(&config).unwrap().is_running());
    running.stop();
}

/// A bridge as far as the control socket goes.
struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (bound, is_bound) = mpsc::channel();
        let config = config.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let journal = Journal::open(&config.journal.path).unwrap();
                let socket = Socket::bind(&config.journal.path).unwrap();
                bound.send(()).unwrap();
                let actions = Arc::new(Actions::new(&config, journal));
                socket.serve(actions, async { _ = stopped.await }).await;
            });
        });
        is_bound.recv().unwrap();
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn configured() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let environment = BTreeMap::from([(
        "ATOMS_BRIDGE__JOURNAL__PATH".to_owned(),
        path.to_str().unwrap().to_owned(),
    )]);
    let file = dir.path().join("bridge.toml");
    std::fs::write(&file, "").unwrap();
    let loaded = Config::load(Some(&file), environment.into_iter()).unwrap();
    (dir, loaded.config)
}
