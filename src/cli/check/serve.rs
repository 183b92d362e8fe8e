//! Whether `serve` runs, by the journal's lock, and how it says that it is; else whether its addresses are free.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Url};
use serde_json::Value;

use super::finding::Finding;
use crate::cli::send::receiver;
use crate::config::Config;
use crate::journal::look;

/// What was found, and whether a bridge runs on this journal.
pub(super) struct FoundServe {
    pub(super) findings: Vec<Finding>,
    pub(super) is_running: bool,
}

/// Finds out who has the journal.
pub(super) async fn serve(config: &Config) -> FoundServe {
    let path = config.journal.path.clone();
    match look::holder(&path) {
        Ok(Some(pid)) => FoundServe {
            findings: running(config, &pid).await,
            is_running: true,
        },
        Ok(None) => FoundServe {
            findings: free(config),
            is_running: false,
        },
        Err(error) => FoundServe {
            findings: vec![Finding::failure(
                "serve",
                format!("cannot tell who has {}: {error}", path.display()),
                "run `check` as the user that runs the bridge",
            )],
            is_running: false,
        },
    }
}

async fn running(config: &Config, pid: &str) -> Vec<Finding> {
    let told = readiness(config).await;
    let Ok((is_ready, told)) = told else {
        return vec![Finding::failure(
            "serve",
            format!(
                "process {pid} has the journal, but nothing tells its health at {}",
                config.listen.health
            ),
            "is it starting, or does it run with another configuration? restart it",
        )];
    };
    let mut findings: Vec<Finding> = ["journal", "kafka", "registry"]
        .into_iter()
        .filter_map(|part| alarm(part, told.pointer(&format!("/{part}/reason"))?.as_str()?))
        .collect();
    if findings.is_empty() && is_ready {
        findings.push(Finding::ok(
            "serve",
            format!("runs as process {pid}, ready"),
        ));
    } else if findings.is_empty() {
        let what = format!("runs as process {pid} and says that it is not ready");
        findings.push(Finding::failure("serve", what, "see its log"));
    }
    findings
}

/// What the running bridge complains of.
fn alarm(part: &str, reason: &str) -> Option<Finding> {
    let finding = Finding::of_text("serve", &format!("it tells of its {part}: {reason}"));
    Some(finding.or_do("see the lines below, and its log"))
}

async fn readiness(config: &Config) -> anyhow::Result<(bool, Value)> {
    let client = Client::builder()
        .no_proxy()
        .timeout(ANSWERS_WITHIN)
        .build()?;
    let url = health_url(config)?;
    let answer = client.get(url).send().await?;
    let is_ready = answer.status().is_success();
    let told = serde_json::from_slice(&answer.bytes().await?)?;
    Ok((is_ready, told))
}

fn health_url(config: &Config) -> anyhow::Result<Url> {
    let name = config
        .webhooks
        .keys()
        .next()
        .context("there is a webhook")?;
    let mut url = receiver(config.listen.health, name)?;
    url.set_path("/readyz");
    Ok(url)
}

/// Whether both addresses can be bound; they are let go of at once.
fn free(config: &Config) -> Vec<Finding> {
    let addresses = [
        ("listen.webhooks", config.listen.webhooks),
        ("listen.health", config.listen.health),
    ];
    let mut findings: Vec<Finding> = addresses
        .into_iter()
        .filter_map(|(key, address)| taken(key, address))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("serve", "does not run; its addresses are free"));
    }
    findings
}

fn taken(key: &str, address: SocketAddr) -> Option<Finding> {
    let error = TcpListener::bind(address).err()?;
    let what = format!("does not run, and {key} {address} cannot be bound: {error}");
    let todo = "is another process using it, or a bridge with another journal? give one of them another address";
    Some(Finding::failure("serve", what, todo))
}

const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
