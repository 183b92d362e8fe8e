//! Reads what strace wrote: which bytes a program wrote where, which syncs came back and how, what it answered.
//!
//! strace sees a thread only at a call's begin and end, so both are kept apart: a sync covers what was written before it
//! began, and counts once it has ended.

use std::collections::HashMap;
use std::path::PathBuf;

/// Something a program did to files or connections, in the order in which it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file was made in its directory.
    Created(PathBuf),
    /// A file was taken out of its directory.
    Removed(PathBuf),
    /// Bytes were written to a file.
    Written {
        file: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    /// A file got another length.
    Resized { file: PathBuf, length: usize },
    /// A thread began to sync a file or a directory.
    SyncBegan { thread: u32, file: PathBuf },
    /// And came back.
    SyncEnded {
        thread: u32,
        file: PathBuf,
        done: bool,
    },
    /// Bytes were about to go to a connection.
    Sent(Vec<u8>),
}

/// What to tell strace for [`events`] to be complete.
pub(crate) const CALLS: &[&str] = &[
    "-s",
    "2000000",
    "-e",
    "signal=none",
    "-e",
    "trace=openat,pwrite64,write,writev,sendto,sendmsg,ftruncate,fsync,fdatasync,unlink,rename",
];

/// All events of a log that concern files below `dir`, or connections.
pub(crate) fn events(log: &str, dir: &str) -> Vec<Event> {
    let mut unfinished = HashMap::new();
    let mut events = Vec::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let Ok(thread) = thread.parse::<u32>() else {
            continue;
        };
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ") {
            let (_, rest) = rest
                .split_once("resumed>")
                .expect("strace ends what it began");
            let began: String = unfinished.remove(&thread).unwrap_or_default();
            ended(&mut events, thread, &(began + rest), dir);
        } else if let Some(call) = call.strip_suffix(" <unfinished ...>") {
            began(&mut events, thread, call, dir);
            unfinished.insert(thread, call.to_owned());
        } else {
            began(&mut events, thread, call, dir);
            ended(&mut events, thread, call, dir);
        }
    }
    events
}

/// At its begin an answer is about to leave, and a sync covers what came before.
fn began(events: &mut Vec<Event>, thread: u32, call: &str, dir: &str) {
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    match name {
        "fsync" | "fdatasync" => {
            if let Some(file) = path_below(arguments, dir) {
                events.push(Event::SyncBegan { thread, file });
            }
        }
        "sendto" | "sendmsg" | "write" | "writev" if arguments.contains("\"HTTP/1.1 ") => {
            events.push(Event::Sent(strings(arguments)));
        }
        _ => {}
    }
}

/// At its end, and only if it says so, a call has done what it is for.
fn ended(events: &mut Vec<Event>, thread: u32, call: &str, dir: &str) {
    let (name, rest) = call.split_once('(').unwrap_or((call, ""));
    let (arguments, opened) = rest.rsplit_once(" = ").unwrap_or((rest, "-1"));
    let result: i64 = opened.split(' ').next().and_then(number).unwrap_or(-1);
    let arguments = arguments.trim_end().trim_end_matches(')');
    if name.ends_with("sync") {
        if let Some(file) = path_below(arguments, dir) {
            events.push(Event::SyncEnded {
                thread,
                file,
                done: result == 0,
            });
        }
        return;
    }
    if result < 0 {
        return;
    }
    let numbers: Vec<usize> = arguments
        .rsplit(", ")
        .map_while(|text| text.parse().ok())
        .collect();
    match (name, numbers.as_slice()) {
        ("openat", _) if arguments.contains("O_CREAT") => {
            if let Some(path) = path_below(opened, dir) {
                events.push(Event::Created(path));
            }
        }
        ("unlink", _) => {
            let path = String::from_utf8_lossy(&strings(arguments)).into_owned();
            events.push(Event::Removed(path.into()));
        }
        ("pwrite64", [at, ..]) => {
            if let Some(file) = path_below(arguments, dir) {
                let mut bytes = strings(arguments);
                bytes.truncate(usize::try_from(result).expect("not negative"));
                assert_eq!(bytes.len() as i64, result, "strace cut a string short");
                events.push(Event::Written {
                    file,
                    at: *at,
                    bytes,
                });
            }
        }
        ("ftruncate", [length, ..]) => {
            if let Some(file) = path_below(arguments, dir) {
                events.push(Event::Resized {
                    file,
                    length: *length,
                });
            }
        }
        _ => {}
    }
}

fn number(text: &str) -> Option<i64> {
    let end = text
        .find(|c: char| c != '-' && !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The path that `-y` shows behind the first descriptor, if it is below `dir`.
fn path_below(arguments: &str, dir: &str) -> Option<PathBuf> {
    let (_, rest) = arguments.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    path.starts_with(dir).then(|| path.into())
}

/// All quoted strings of a call's arguments, unescaped, one behind the other.
fn strings(arguments: &str) -> Vec<u8> {
    let mut bytes = arguments.bytes().peekable();
    let mut found = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => {
                    let escaped = bytes.next().expect("an escape is complete");
                    found.push(match escaped {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'f' => 0x0c,
                        b'v' => 0x0b,
                        b'0'..=b'7' => {
                            let mut value = u32::from(escaped - b'0');
                            for _ in 0..2 {
                                let Some(digit) = bytes.next_if(|b| (b'0'..=b'7').contains(b))
                                else {
                                    break;
                                };
                                value = value * 8 + u32::from(digit - b'0');
                            }
                            u8::try_from(value).expect("three octal digits of a byte")
                        }
                        other => other,
                    });
                }
                plain => found.push(plain),
            }
        }
    }
    found
}
