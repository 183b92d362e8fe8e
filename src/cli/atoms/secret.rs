//! `atoms secret`: a webhook's signing secret, into a file that only its owner can read.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Side, name_of};
use crate::atoms::answers::RemoteWebhook;
use crate::cli::output::{Output, printable};
use crate::cli::{Ended, UsageError};
use crate::receive::delivery::WebhookName;
use crate::verify::secret::Secret;

/// Arguments of `atoms secret`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which webhook: its id, its URL, or the name that it has here
    #[arg(default_value = "default")]
    pub webhook: String,
    /// The file [default: the one that is configured, else NAME.secret beside the journal]
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    pub file: Option<PathBuf>,
    /// Print it to stdout and write no file
    #[arg(long)]
    pub print: bool,
}

pub(super) async fn run(
    output: &mut Output<impl Write>,
    side: &Side,
    args: &Args,
) -> anyhow::Result<Ended> {
    let webhooks = side.client.webhooks().await?;
    let webhook = find(&webhooks, &args.webhook)?;
    let secret = of(webhook)?;
    if args.print {
        let mut line = secret.expose().to_vec();
        line.push(b'\n');
        output.bytes(&line)?;
        return Ok(Ended::Done);
    }
    let name =
        WebhookName::parse(&args.webhook).filter(|name| side.config.webhooks.contains_key(name));
    let name = name.or_else(|| name_of(&webhook.url));
    let path = match &args.file {
        Some(path) => std::path::absolute(path)?,
        None => default_path(side, name.as_ref())?,
    };
    keep(&path, secret)?;
    output.line(&format!("secret     {} (mode 0600)", path.display()))?;
    Ok(Ended::Done)
}

/// Where a webhook's secret belongs: the file that is configured for it, else one beside the journal.
pub(super) fn default_path(side: &Side, name: Option<&WebhookName>) -> anyhow::Result<PathBuf> {
    if let Some(path) = name.and_then(|name| side.loaded.secret_file(name)) {
        return Ok(std::path::absolute(path)?);
    }
    let name = name.map_or("default", WebhookName::as_str);
    let beside = side
        .config
        .journal
        .path
        .with_file_name(format!("{name}.secret"));
    Ok(std::path::absolute(beside)?)
}

/// The secret that the API tells of a webhook.
pub(super) fn of(webhook: &RemoteWebhook) -> anyhow::Result<&Secret> {
    let secret = webhook.secret.as_ref();
    secret.context("Atoms does not tell the signing secret to this key: copy it from the dashboard")
}

/// Writes a secret where no file is, whole or not at all; a file that holds it already is only closed to others.
///
/// # Errors
///
/// Another secret is there, or the disk refuses.
pub(super) fn keep(path: &Path, secret: &Secret) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if is_held_by(path, secret).with_context(cannot)? {
        fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(cannot)?;
        return Ok(());
    }
    refuse_another(path)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
    let written = write(&unfinished, secret).and_then(|()| fs::hard_link(&unfinished, path));
    let removed = fs::remove_file(&unfinished);
    written.and(removed).with_context(cannot)
}

/// Complains about a file that holds another secret: somebody may still need it.
pub(super) fn refuse_another(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        anyhow::bail!(
            "{} holds another secret: move it away, or name another file",
            path.display()
        );
    }
    Ok(())
}

fn is_held_by(path: &Path, secret: &Secret) -> io::Result<bool> {
    match fs::read(path) {
        Ok(bytes) => Ok(Secret::new(&bytes).as_ref() == Some(secret)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(secret.expose())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn find<'w>(webhooks: &'w [RemoteWebhook], which: &str) -> Result<&'w RemoteWebhook, UsageError> {
    let is_meant = |webhook: &&RemoteWebhook| {
        let name = name_of(&webhook.url);
        webhook.id == which
            || webhook.url == which
            || name.is_some_and(|name| name.as_str() == which)
    };
    let mut found = webhooks.iter().filter(is_meant);
    let which = printable(which);
    match (found.next(), found.next()) {
        (Some(webhook), None) => Ok(webhook),
        (None, _) => Err(UsageError(format!(
            "{which}: Atoms has no such webhook; `atoms webhooks` lists them"
        ))),
        (Some(_), Some(_)) => Err(UsageError(format!(
            "{which}: Atoms has several such webhooks; `atoms webhooks` lists them, give the id of one"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_secret_is_kept_for_its_owner_alone_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/x.secret");
        keep(&path, &secret("one")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\n");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        keep(&path, &secret("one")).unwrap();
        assert_eq!(mode(), 0o600);
        let error = keep(&path, &secret("two")).unwrap_err().to_string();
        assert!(
            error.contains("holds another secret") && !error.contains("one"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"one\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
