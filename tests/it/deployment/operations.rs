//! `examples/operations.md` and the other pages keep step: each alert has its section, each command exists, each link leads
//! somewhere, and a backup taken as the page says is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use atoms_kafka_bridge::cli::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rusqlite::Connection;

use super::{read, root, text, yaml};
use crate::harness::bridge::Bridge;
use crate::harness::{calls, ports, shared_broker, unique};

#[test]
fn every_alert_has_its_section_and_every_section_an_alert() {
    let page = read(PAGE);
    let (_, behind) = page.split_once("\n## Alerts\n").unwrap();
    let (alerts, _) = behind.split_once("\n## ").unwrap();
    let sections: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let rules = &yaml(&read("examples/monitoring/alerts.yml"))[0]["groups"][0]["rules"];
    let rules = rules.as_array().unwrap();
    let named: Vec<&str> = rules.iter().map(|rule| text(&rule["alert"])).collect();
    assert_eq!(sections, named, "in the same order");
    for rule in rules {
        let section = text(&rule["alert"]).to_lowercase();
        assert_eq!(
            text(&rule["annotations"]["runbook"]),
            format!("{PAGE}#{section}")
        );
    }
}

#[test]
fn every_command_on_every_page_exists() {
    let mut found = 0;
    for page in pages() {
        for command in commands(&read(&page)) {
            let parsed = Cli::try_parse_from(
                std::iter::once("atoms-kafka-bridge").chain(command.iter().copied()),
            );
            match parsed {
                Ok(_) => {}
                // Named in passing, without what it wants.
                Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {}
                Err(error) => panic!("{page}: {command:?}: {error}"),
            }
            found += 1;
        }
    }
    assert!(found > 40, "{found} commands");
    // It would tell.
    let wrong = commands("`journal replay --sinze 1h`, and `atoms-kafka-bridge serve\n--yes`");
    assert_eq!(
        wrong,
        [
            vec!["journal", "replay", "--sinze", "1h"],
            vec!["serve", "--yes"]
        ]
    );
}

#[test]
fn every_link_on_every_page_leads_somewhere() {
    let mut found = 0;
    for page in pages() {
        let here = root().join(&page);
        let text = read(&page);
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if path.is_empty() {
                here.clone()
            } else {
                here.parent().unwrap().join(path)
            };
            assert!(to.exists(), "{page}: {link}");
            let anchors = || anchors(&fs::read_to_string(&to).unwrap());
            assert!(
                anchor.is_empty() || anchors().contains(anchor),
                "{page}: {link}"
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found} links");
}

#[test]
fn a_backup_taken_from_a_running_bridge_as_the_page_says_loses_and_repeats_nothing() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("backup"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .start();
    let post = |bridge: &Bridge, steps: std::ops::Range<usize>| {
        for step in steps {
            assert_eq!(
                bridge
                    .post("default", &calls::delivery("CALL-backup", step))
                    .status,
                200
            );
        }
    };
    let end = |bridge: &mut Bridge| assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    post(&bridge, 0..5);
    bridge.await_published();
    end(&mut bridge);
    bridge.set(
        "KAFKA__BOOTSTRAP_SERVERS",
        &ports::free_address().to_string(),
    );
    bridge.resume();
    post(&bridge, 5..10);

    let page = read(PAGE);
    let (_, statement) = page.split_once("journal.db \"VACUUM INTO").unwrap();
    let statement = format!("VACUUM INTO{}", statement.split('"').next().unwrap());
    let backup = bridge.dir().join("backup.db");
    let statement = statement.replace("/backup/journal.db", backup.to_str().unwrap());
    Connection::open(bridge.journal_path())
        .unwrap()
        .execute_batch(&statement)
        .unwrap();

    end(&mut bridge);
    bridge.set("KAFKA__BOOTSTRAP_SERVERS", &broker);
    bridge.resume();
    bridge.await_published();
    end(&mut bridge);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", bridge.journal_path().display()));
    }
    fs::rename(backup, bridge.journal_path()).unwrap();
    bridge.resume();
    assert_ne!(bridge.log_of_this_start(), "");
    post(&bridge, 10..15);
    bridge.await_published();
    let ids: BTreeSet<String> = (0..15).map(|step| calls::id("CALL-backup", step)).collect();
    calls::judge(&broker, &prefix, &ids);
}

/// The commands in a page's code, each without the program's name: between backquotes, which may span lines, or a line
/// of a block.
fn commands(page: &str) -> Vec<Vec<&str>> {
    let names: BTreeSet<String> = Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let blocks = page.split("```").skip(1).step_by(2).flat_map(str::lines);
    let outside = page.split("```").step_by(2);
    let inline = outside.flat_map(|text| text.split('`').skip(1).step_by(2));
    let mut commands = Vec::new();
    for code in blocks.chain(inline) {
        let code = code.split(" #").next().unwrap();
        let words: Vec<&str> = code
            .split_whitespace()
            .map(|word| {
                if word == "SEQ" {
                    "1"
                } else {
                    word.trim_matches('\'')
                }
            })
            .collect();
        let command = match words.split_first() {
            Some((&"atoms-kafka-bridge", rest)) => rest,
            Some((first, [_, ..])) if names.contains(*first) => &words,
            _ => continue,
        };
        // What only shows the form.
        if !command.is_empty()
            && !command
                .iter()
                .any(|word| word.contains(['…', '<', '>', '|', '·']))
        {
            commands.push(command.to_vec());
        }
    }
    commands
}

/// The pages that people read, by their paths from the root.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    let mut folders = vec![PathBuf::from("examples"), PathBuf::from("schemas")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    pages
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

const PAGE: &str = "examples/operations.md";
