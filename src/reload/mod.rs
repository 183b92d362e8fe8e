//! Takes up a changed configuration while the bridge runs: webhooks, secrets, the certificate, trusted proxies.
//!
//! What counts is a configuration that is valid as a whole, or the old one: an empty secret, a key that is not the
//! certificate's or a slip of the finger changes nothing but raises an alarm. Each problem is one line of the log. What
//! only a restart can change is named and waits.
//!
//! It looks on SIGHUP at once, and by itself when a file has changed and rests: half a second in which nobody writes.

mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::bridge::Changeable;
use crate::config::{Changes, Config, ConfigError, Loaded, Need, process_environment};
use watch::Watch;

/// Keeps a running bridge on the configuration that is on disk.
pub struct Reloader {
    needs: Vec<Need>,
    began: Loaded,
    /// What was on disk the last time that it could be read.
    found: Found,
    current: Config,
    watch: Watch,
    bridge: Changeable,
}

impl Reloader {
    /// For a bridge that began with `loaded`, for these needs.
    pub fn new((loaded, config): (Loaded, Config), needs: &[Need], bridge: Changeable) -> Self {
        Self {
            found: Found::of(&loaded),
            needs: needs.to_vec(),
            watch: Watch::new(loaded.files()),
            began: loaded,
            current: config,
            bridge,
        }
    }

    /// Looks at each signal, and by itself, for ever.
    pub async fn run(mut self, mut signal: Signal) {
        loop {
            let is_told = tokio::select! {
                told = signal.recv() => told.is_some(),
                () = tokio::time::sleep(LOOK) => false,
            };
            // A few small files, now and then: not worth a thread of its own.
            if is_told || self.watch.is_due() {
                self.reload();
            }
        }
    }

    fn reload(&mut self) {
        // Before they are read: whoever writes meanwhile is noticed by the next look.
        self.watch.see();
        match self.read() {
            Ok((loaded, newer)) => self.take_up(&loaded, &newer),
            Err(error) => {
                for problem in problems(&error) {
                    tracing::error!(
                        "the configuration is not reloaded, the old one stays: {problem}"
                    );
                }
                self.bridge.refuse();
            }
        }
    }

    fn read(&mut self) -> Result<(Loaded, Config), ConfigError> {
        // A file that was there once is missed from then on, also if it would be read only where there is one: without it
        // webhooks and second factors would be gone.
        let loaded = Config::load(self.found.file.as_deref(), process_environment())?;
        let found = Found::of(&loaded);
        if self.found.says_something && !found.says_something {
            return Err(ConfigError::Unreadable {
                path: found.file.unwrap_or_default(),
                source: io::Error::other(EMPTIED),
            });
        }
        self.found = found;
        // Also of one that is not taken up: it may be one of its files that is to be mended.
        self.watch.follow(loaded.files());
        let config = loaded.require(&self.needs)?;
        Ok((loaded, config))
    }

    fn take_up(&mut self, loaded: &Loaded, newer: &Config) {
        for warning in &loaded.warnings {
            tracing::warn!("configuration: {warning}");
        }
        let newer = self.current.with_changes(newer);
        let changes = Changes::between((&self.current, &newer), (&self.began, loaded));
        self.bridge.apply(&newer);
        self.current = newer;
        let applied = changes.applied.join(", ");
        if applied.is_empty() {
            tracing::info!("configuration reloaded: nothing is different");
        } else {
            tracing::info!("configuration reloaded: {applied}");
        }
        if !changes.waiting.is_empty() {
            let waiting = changes.waiting.join(", ");
            tracing::warn!(
                "configuration: what changed here counts after a restart only: {waiting}"
            );
        }
    }
}

/// The configuration's file.
struct Found {
    file: Option<PathBuf>,
    says_something: bool,
}

impl Found {
    fn of(loaded: &Loaded) -> Self {
        Self {
            file: loaded.file().map(Path::to_owned),
            says_something: loaded.has_file_settings(),
        }
    }
}

/// One line each.
fn problems(error: &ConfigError) -> Vec<String> {
    match error {
        ConfigError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        ConfigError::Unreadable { source, .. } => vec![format!("{error}: {source}")],
        ConfigError::NotToml { .. } => vec![error.to_string()],
    }
}

const EMPTIED: &str = "nothing stands in it any more; to go on without it, restart the bridge";
/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
