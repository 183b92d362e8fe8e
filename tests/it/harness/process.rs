//! A child process that cannot outlive the tests.
//!
//! Each child runs under a small shell that holds the reading end of a pipe from us. When we drop the writing end, or
//! die in any way, the shell kills the child with -9 and removes its directory. Statics are never dropped and a killed
//! test binary drops nothing, so a guard in Rust alone would leave brokers behind.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::until;

/// A running program, its output in files of its directory.
#[derive(Debug)]
pub(crate) struct Process {
    shell: Child,
    pid: u32,
    lifeline: Option<ChildStdin>,
    dir: PathBuf,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory now.
    pub(crate) rss_bytes: u64,
    /// The most that was ever resident.
    pub(crate) peak_rss_bytes: u64,
    /// User and system time since its start.
    pub(crate) cpu: Duration,
}

impl Process {
    /// Starts a program in `dir`, which is removed when the process is dropped while it runs.
    ///
    /// `configure` may set the environment. Output is appended to `stdout.log` and `stderr.log` in `dir`.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        dir: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(GUARD)
            .arg("guard")
            .arg(program)
            .args(arguments);
        command.current_dir(dir).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        configure(&mut command);
        let mut shell = command.spawn().expect("sh starts");
        let lifeline = shell.stdin.take();
        let pid = announced_pid(&mut shell);
        Self {
            shell,
            pid,
            lifeline,
            dir: dir.to_owned(),
        }
    }

    /// The program's own process id, not the shell's.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// How the program ended, if it has: its exit code, or 128 and the signal's number.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.shell
            .try_wait()
            .expect("the guard is our child")
            .map(|status| status.code().unwrap_or(-1))
    }

    /// Sends a signal by its name without `SIG`. The program must still be running.
    pub(crate) fn signal(&mut self, name: &str) {
        assert_eq!(
            self.ended(),
            None,
            "SIG{name} for a process that has ended; its log:\n{}",
            self.log_tail()
        );
        let status = Command::new("kill")
            .args(["-s", name, &self.pid.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill -s {name} {}",
            self.pid
        );
    }

    /// Waits for the end of the program and returns its code as [`Process::ended`] does.
    pub(crate) fn wait(&mut self, limit: Duration) -> i32 {
        let what = format!("process {} to end", self.pid);
        until(&what, limit, || {
            self.ended().ok_or_else(|| "it runs on".to_owned())
        })
    }

    /// Ends the program at once, as a crash would, and waits until it is gone. Its directory stays.
    pub(crate) fn kill9(&mut self) {
        if self.ended().is_none() {
            self.signal("KILL");
            self.wait(Duration::from_secs(10));
        }
    }

    /// Memory and processor time of the running program.
    pub(crate) fn usage(&self) -> Usage {
        let proc_dir = PathBuf::from(format!("/proc/{}", self.pid));
        let status = fs::read_to_string(proc_dir.join("status")).expect("the process runs");
        let stat = fs::read_to_string(proc_dir.join("stat")).expect("the process runs");
        Usage {
            rss_bytes: memory_bytes(&status, "VmRSS").expect("VmRSS"),
            peak_rss_bytes: memory_bytes(&status, "VmHWM").expect("VmHWM"),
            cpu: cpu_time(&stat).expect("utime and stime"),
        }
    }

    /// What the program wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("stderr.log")).unwrap_or_default())
            .into_owned()
    }

    /// What the program wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("stdout.log")).unwrap_or_default())
            .into_owned()
    }

    /// The last lines of both, for a failed test's message.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.stdout() + &self.stderr();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default()
            .join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The guard kills and removes; a failure here must not hide the test's own.
        let _ = self.shell.wait();
    }
}

/// Reads the line with which the guard says whom it started.
fn announced_pid(shell: &mut Child) -> u32 {
    let mut line = String::new();
    let stdout = shell.stdout.take().expect("stdout is piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the guard says a process id");
    line.trim().parse().expect("the guard says a process id")
}

fn memory_bytes(status: &str, name: &str) -> Option<u64> {
    let mut lines = status.lines();
    let told = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = told.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the name in parentheses and may hold spaces; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // Linux shows programs 100 ticks a second whatever the kernel's own rate is.
    Some(Duration::from_millis(ticks * 10))
}

const TAIL_LINES: usize = 40;

/// Runs "$@", says its process id, and ends with its code. When our end of the pipe closes first, the program is killed
/// and its directory removed: the mark is made before the kill, so that a program which ended by itself keeps its files.
pub(crate) const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null >>stdout.log 2>>stderr.log 3<&- &
child=$!
{ cat <&3 >/dev/null; : >abandoned; kill -9 "$child"; } 2>/dev/null &
watch=$!
echo "$child"
wait "$child"
code=$?
if [ -e abandoned ]; then
    rm -rf "$PWD"
else
    kill "$watch"
fi
exit "$code"
"#;
