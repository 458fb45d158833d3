//! `backup` and `restore`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tempfile::NamedTempFile;

use super::args::TargetArgs;
use super::client::Client;
use super::{CliError, show};
use crate::api::encode;
use crate::restore::{self, Contents};
use crate::server::StoreChoice;

/// How long the server may send nothing. It gives up after a minute in which nothing was taken.
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where the backup goes; replaced only by a whole one
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What is made of it: sled:DIRECTORY, where the directory is empty or new
    #[arg(long, env = "DURAWASM_STORE")]
    store: StoreChoice,
}

pub(super) async fn backup(args: BackupArgs) -> Result<(), CliError> {
    let contents = fetch(&Client::new(&args.target)?, "/admin/backup", &args.file).await?;
    tell(("backed up", &args.file), &contents, args.target.json);
    Ok(())
}

/// Fetches a file that says of itself that it is whole. What is there is replaced only by a whole one.
async fn fetch(client: &Client, path: &str, into: &Path) -> Result<Contents, CliError> {
    let failed = |error: std::io::Error| CliError::Refused(format!("cannot write {}: {error}", into.display()));
    let directory = match into.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let mut answer = client.download(path).await?;
    let mut file = NamedTempFile::new_in(directory).map_err(failed)?;
    let progress = bar(None, "receiving");
    loop {
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await;
        let broken = || CliError::Refused("the connection broke before the file was whole; nothing was kept".into());
        let Some(chunk) = chunk.map_err(|_| broken())?.map_err(|_| broken())? else { break };
        file.write_all(&chunk).map_err(failed)?;
        progress.inc(chunk.len() as u64);
    }
    progress.finish_and_clear();
    file.as_file().sync_all().map_err(failed)?;
    let (path, length) = (file.path().to_owned(), file.as_file().metadata().map_err(failed)?.len());
    let contents = blocking(move || {
        let progress = bar(Some(length), "checking");
        restore::check(&path, &|at| progress.set_position(at))
    })
    .await?;
    file.persist(into).map_err(|error| failed(error.error))?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(contents)
}

/// Writes a hub into a file.
pub(super) async fn export(
    client: &Client,
    (hub, secrets): (&str, bool),
    (file, as_json): (&Path, bool),
) -> Result<(), CliError> {
    let path = format!("/admin/hubs/{}/export?secrets={secrets}", encode(hub));
    let contents = fetch(client, &path, file).await?;
    tell(("exported", file), &contents, as_json);
    Ok(())
}

pub(super) async fn restore(args: RestoreArgs) -> Result<(), CliError> {
    let StoreChoice::Sled(data) = args.store else {
        return Err(CliError::Usage("a backup is restored into a directory: --store sled:DIRECTORY".into()));
    };
    let length = std::fs::metadata(&args.file)
        .map_err(|error| CliError::Refused(format!("cannot read {}: {error}", args.file.display())))?
        .len();
    let (file, into) = (args.file.clone(), data.clone());
    blocking(move || {
        let progress = bar(Some(length), "checking, then restoring");
        restore::restore(&file, &into, &|at| progress.set_position(at))
    })
    .await?;
    show::line(&format!("restored {} into {}", args.file.display(), data.display()));
    Ok(())
}

async fn blocking(
    work: impl FnOnce() -> Result<Contents, restore::RestoreError> + Send + 'static,
) -> Result<Contents, CliError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| CliError::Refused(format!("it did not come to its end: {error}")))?;
    done.map_err(|error| CliError::Refused(error.to_string()))
}

fn tell((done, file): (&str, &Path), Contents { head, totals }: &Contents, as_json: bool) {
    if as_json {
        let facts =
            json!({"file": file, "bytes": totals.bytes, "components": totals.components, "layout": head.layout});
        show::line(&facts.to_string());
        return;
    }
    let (bytes, components) = (indicatif::HumanBytes(totals.bytes), totals.components);
    show::line(&format!("{done} to {} ({bytes}, {components} components)", file.display()));
}

/// Shown on terminals only.
fn bar(length: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {bytes}/{total_bytes} {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    bar.set_style(style);
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    bar
}
