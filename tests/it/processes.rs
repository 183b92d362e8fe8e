//! No process outlives the tests, and the harness tells truly how one ended.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::bridge::signature;
use crate::harness::http::{Client, read_answer};
use crate::harness::process::{GUARD, Process};
use crate::harness::{ports, until};

#[test]
fn a_dropped_process_is_gone_with_its_directory() {
    let dir = TempDir::new().expect("a temporary directory").keep();
    let process = Process::spawn(Path::new("sleep"), ["600"], &dir, |_| {});
    let program = proc_dir(process.pid());
    assert!(program.exists());
    drop(process);
    assert!(!program.exists());
    assert!(!dir.exists());
}

#[test]
fn a_process_dies_with_a_parent_that_is_killed_with_9() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut parent = Process::spawn(Path::new("perl"), ["-e", PARENT, GUARD], dir.path(), |_| {});
    let child: u32 = until("the child's process id", LIMIT, || {
        parent
            .stdout()
            .trim()
            .parse()
            .map_err(|_| "nothing printed".to_owned())
    });
    parent.kill9();
    until("the child to die", LIMIT, || {
        let left = fs::read_to_string(proc_dir(child).join("cmdline")).unwrap_or_default();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn how_a_process_ended_and_what_it_said_is_known() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut process = Process::spawn(
        Path::new("sh"),
        ["-c", "echo out; echo err >&2; exit 7"],
        dir.path(),
        |_| {},
    );
    assert_eq!(process.wait(LIMIT), 7);
    assert_eq!(
        (process.stdout().as_str(), process.stderr().as_str()),
        ("out\n", "err\n")
    );

    let mut process = Process::spawn(Path::new("sleep"), ["600"], dir.path(), |_| {});
    assert!(process.usage().rss_bytes > 0);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT), 128 + 15);
    assert!(
        dir.path().exists(),
        "a process that ended by itself leaves its files"
    );
}

#[test]
fn ports_are_below_the_systems_own_range_and_never_given_twice() {
    let mut ports: Vec<u16> = (0..50).map(|_| ports::free_address().port()).collect();
    assert!(ports.iter().all(|port| *port < 32_768));
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
}

#[test]
fn the_signature_is_hmac_sha256_in_lower_case() {
    // RFC 4231, test case 2.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
}

#[test]
fn the_client_keeps_its_connection_and_reports_one_that_breaks() {
    let address = serve_two_answers_then_hang_up();
    let mut client = Client::new(address);
    let first = client.get("/").expect("an answer");
    assert_eq!(
        (first.status, first.header("x-a"), first.text().as_str()),
        (200, Some("b: c"), "hello")
    );
    let second = client
        .request("POST", "/", &[("x", "y")], b"body")
        .expect("an answer");
    assert_eq!((second.status, second.body.len()), (503, 0));
    client
        .get("/")
        .expect_err("the connection is gone and nothing is sent again");
}

/// One connection, two answers; then the listener and the connection are closed.
fn serve_two_answers_then_hang_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the client connects");
        let mut reader = std::io::BufReader::new(&stream);
        for answer in [
            "200 OK\r\nX-A: b: c\r\nContent-Length: 5\r\n\r\nhello",
            "503 No\r\ncontent-length: 0\r\n\r\n",
        ] {
            read_request(&mut reader);
            write!(&stream, "HTTP/1.1 {answer}").expect("the client reads");
        }
    });
    address
}

/// A request is read by the reader of answers: a line, fields and a counted body have the same shape in both.
fn read_request(reader: &mut impl std::io::BufRead) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let rest = format!("HTTP/1.1 200 {line}");
    let mut answer = std::io::Read::chain(rest.as_bytes(), reader);
    read_answer(&mut answer).expect("a request");
}

fn proc_dir(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

const LIMIT: Duration = Duration::from_secs(10);
/// Holds the lifeline of a guarded `sleep`, whose process id the guard prints to this parent's standard output.
const PARENT: &str =
    r#"open(my $lifeline, "|-", "sh", "-c", $ARGV[0], "guard", "sleep", "600"); sleep 600"#;
