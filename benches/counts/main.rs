//! How many instructions each pure part of the road takes, which repeats exactly: `tests/run bench counts`.
//!
//! Runs itself under callgrind, each part some times and then some more; the difference is what those more took. Valgrind's
//! processor has no instructions for SHA-256, so that `verify` counts more here than it takes.

#[path = "../parts/pieces.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod pieces;

use std::process::Command;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pieces = pieces::all();
    match words.as_slice() {
        ["run", place, times] => {
            let number = |word: &str| word.parse::<usize>().expect("a number");
            let piece = pieces.get(number(place)).expect("a piece");
            (0..number(times)).for_each(|_| piece.run());
        }
        _ => {
            println!("| part | body | bytes | instructions |\n|---|---|---|---|");
            for (place, piece) in pieces.iter().enumerate() {
                let count = (instructions(place, MORE) - instructions(place, SOME)) / (MORE - SOME);
                println!(
                    "| {} | {} | {} | {count} |",
                    piece.part, piece.body, piece.bytes
                );
            }
        }
    }
}

fn instructions(place: usize, times: u64) -> u64 {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["run", &place.to_string(), &times.to_string()])
        .output()
        .expect(
            "valgrind is not installed: apt-get install valgrind, or run tests/run once as root",
        );
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind says no count: {said}"))
}

const SOME: u64 = 20;
const MORE: u64 = 120;
