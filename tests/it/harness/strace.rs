//! strace: makes system calls of a running bridge fail or wait, and writes down what a bridge asks of the system.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use super::until;

/// An strace attached to a process; dropping it lets the process go on as if nothing had been.
#[derive(Debug)]
pub(crate) struct Strace {
    child: Child,
    /// Open as long as it runs: it tells there of each new thread, and would die of nobody reading.
    said: Option<BufReader<ChildStderr>>,
}

impl Strace {
    /// Injects into a process's system calls, such as `fsync:error=EIO:when=1`; with a path, only into those on that
    /// file.
    pub(crate) fn inject(pid: u32, what: &str, on: Option<&Path>) -> Self {
        let calls = what.split(':').next().expect("a string has a first part");
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string(), "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={calls}"), "-e"]);
        command.arg(format!("inject={what}"));
        if let Some(path) = on {
            command.arg("-P").arg(path);
        }
        let child = command.stderr(Stdio::piped()).spawn().expect(HOW_TO_GET);
        let mut strace = Self { child, said: None };
        // It says so once every thread is held.
        let stderr = strace.child.stderr.take().expect("stderr is piped");
        let mut stderr = BufReader::new(stderr);
        let mut said = String::new();
        for line in stderr.by_ref().lines() {
            let line = line.expect("strace writes text");
            if line.contains(" attached") {
                strace.said = Some(stderr);
                return strace;
            }
            said.push_str(&line);
        }
        panic!(
            "strace does not attach: {said}; it needs root or the right to trace (in a container: --cap-add SYS_PTRACE)"
        );
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Ends in good order on SIGTERM, which is what leaves the process as it was.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        self.said = None;
    }
}

/// The command line before a program's own that writes its system calls to `log`. The process started is the program.
pub(crate) fn recording(log: &Path, arguments: &[&str]) -> Vec<String> {
    let log = log.to_str().expect("temporary paths are UTF-8");
    // The log gets its name once strace has written the last of it.
    let to = format!("|cat >'{log}.part' && mv '{log}.part' '{log}'");
    let own = ["strace", "-D", "-f", "-y", "-o", &to];
    own.iter()
        .chain(arguments)
        .map(|argument| (*argument).to_owned())
        .collect()
}

/// The whole of a recording, once its program is gone.
pub(crate) fn finished(log: &Path) -> String {
    until("strace to finish its log", Duration::from_secs(60), || {
        let bytes = fs::read(log).map_err(|error| format!("{error}; {HOW_TO_GET}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

const HOW_TO_GET: &str =
    "strace is not installed: apt-get install strace, or run tests/run once as root";
