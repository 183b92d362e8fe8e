//! `serve`: the bridge.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Ended};
use crate::bridge::Bridge;
use crate::config::{Config, Loaded, Need};
use crate::reload::Reloader;

/// Runs the bridge until SIGTERM or Ctrl-C; SIGHUP or a changed file has it take up the configuration anew.
///
/// # Errors
///
/// Whatever keeps it from taking deliveries.
pub fn run(common: &Common) -> anyhow::Result<Ended> {
    let loaded = common.load()?;
    let config = loaded.require(&NEEDS)?;
    runtime()?.block_on(serve(loaded, config))?;
    Ok(Ended::Done)
}

/// The runtime of every command that needs one.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // The other half of the processors is for the journal, the publisher and librdkafka, which have threads of their own.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()
}

async fn serve(loaded: Loaded, config: Config) -> anyhow::Result<()> {
    raise_open_files();
    let terminated = terminated()?;
    let hangup = signal(SignalKind::hangup())?;
    let names: Vec<&str> = config.webhooks.keys().map(|name| name.as_str()).collect();
    let webhooks = names.join(", ");
    let scheme = config.listen.tls.as_ref().map_or("http", |_| "https");
    let bridge = Bridge::start(config.clone()).await?;
    let (listen, health) = (bridge.webhooks_address()?, bridge.health_address()?);
    tracing::info!(
        "taking deliveries at {scheme}://{listen}/webhooks/{{name}} (webhooks: {webhooks}), health at http://{health}"
    );
    if let Some(console) = bridge.console_address() {
        tracing::info!("console at http://{console}");
    }
    let reloader = Reloader::new((loaded, config), &NEEDS, bridge.changeable());
    let reloading = tokio::spawn(reloader.run(hangup));
    bridge.run(terminated).await;
    reloading.abort();
    Ok(())
}

/// What it cannot do without, at the start and at each reload.
const NEEDS: [Need; 6] = [
    Need::Kafka,
    Need::Registry,
    Need::Atoms,
    Need::Listener,
    Need::Console,
    Need::Webhooks,
];

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
