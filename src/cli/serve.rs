//! `serve`: the bridge.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Ended};
use crate::bridge::Bridge;
use crate::config::{Config, Need};

/// Runs the bridge until SIGTERM or Ctrl-C.
///
/// # Errors
///
/// Whatever keeps it from taking deliveries.
pub fn run(common: &Common) -> anyhow::Result<Ended> {
    let config =
        common
            .load()?
            .require(&[Need::Kafka, Need::Registry, Need::Console, Need::Webhooks])?;
    runtime()?.block_on(serve(config))?;
    Ok(Ended::Done)
}

/// The runtime of every command that needs one.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

async fn serve(config: Config) -> anyhow::Result<()> {
    raise_open_files();
    let terminated = terminated()?;
    let names: Vec<&str> = config.webhooks.keys().map(|name| name.as_str()).collect();
    let webhooks = names.join(", ");
    let bridge = Bridge::start(config).await?;
    let (listen, health) = (bridge.webhooks_address()?, bridge.health_address()?);
    tracing::info!(
        "taking deliveries at http://{listen}/webhooks/{{name}} (webhooks: {webhooks}), health at http://{health}"
    );
    if let Some(console) = bridge.console_address() {
        tracing::info!("console at http://{console}");
    }
    bridge.run(terminated).await;
    Ok(())
}

/// Each connection is an open file, and what a process may have by default is often 1024. As many as it is allowed.
fn raise_open_files() {
    let allowed = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files; connections beyond it wait");
    }
}

/// Resolves at SIGTERM or Ctrl-C; from now on neither ends the process by itself.
pub(super) fn terminated() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
