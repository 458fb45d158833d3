//! One hub as a file: its record, apps with their components, instances with all that belongs to them, and the messages
//! between them.
//!
//! While its rows are read, nothing of the hub is committed: starts and episodes wait, so that the file is the hub of one
//! moment. It is written aside first, so that they never wait for whoever takes the file.

use std::collections::{BTreeSet, HashMap};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use durawasm_core::{Effect, HistoryEvent, Orchestration, TaskId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::hubs::HubError;
use super::{Engine, Inner};
use crate::store::backup::{Encoder, Head, RECORD_BYTES};
use crate::store::hub_entries::{HubEntry, HubInstance, encode_entry};
use crate::store::{Digest, HubConfig, HubName, HubRecord, InstanceRecord, ListQuery, NewMail, StoreError};

/// What the rows of such a file are; shown to whoever takes one for a backup.
pub(super) const LAYOUT: &str = "one hub, form 1, for `durawasm hub import`";
/// Instances and messages that are asked for at once.
const PAGE: usize = 500;

/// Why a hub is not written into a file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such hub, or not for long.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A component of it cannot be read.
    #[error("the components cannot be read: {0}")]
    Components(String),
    /// The file cannot be written.
    #[error("the file cannot be written in the server's folder for temporary files: {0}")]
    Io(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Writes a hub into a file, see the module; returned at its beginning. Keys are not in it, secrets only if they are
    /// asked for.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn export_hub(&self, name: &HubName, secrets: bool) -> Result<std::fs::File, ExportError> {
        let inner = &self.inner;
        let record = inner.open_hub(name)?;
        // A component that the hub has now is kept until it is in the file.
        let _kept = Arc::clone(&inner.apps.backups).read_owned().await;
        let mut file = HubFile::begin(name, inner.now())?;
        let _quiet = inner.hubs.quiet(name).await;
        let apps = inner.apps.of_hub(name);
        let digests: BTreeSet<Digest> = apps.iter().flat_map(|app| &app.versions).map(|one| one.digest).collect();
        inner.export_components(&mut file, &digests).await?;
        let config = HubConfig::clone(&record.config);
        let config = if secrets { config } else { HubConfig { secrets: Default::default(), ..config } };
        let plain = HubRecord { config, keys: Vec::new(), salt: [0; 16], ..HubRecord::clone(&record) };
        file.entry(&HubEntry::Hub(Box::new(plain)))?;
        for app in apps {
            file.entry(&HubEntry::App(Box::new(app)))?;
        }
        inner.export_instances(&mut file).await?;
        inner.export_mail(&mut file).await?;
        Ok(file.end()?)
    }
}

impl Inner {
    async fn export_components(&self, file: &mut HubFile, digests: &BTreeSet<Digest>) -> Result<(), ExportError> {
        let failed = |path: &Path, why: String| ExportError::Components(format!("{}: {why}", path.display()));
        let all = self.executor.components().await.map_err(|fault| ExportError::Components(fault.to_string()))?;
        let paths: HashMap<_, _> = all.into_iter().collect();
        for digest in digests {
            let path = paths.get(digest).ok_or_else(|| ExportError::Components(format!("{digest} is not there")))?;
            let bytes = tokio::fs::read(path).await.map_err(|error| failed(path, error.to_string()))?;
            if digest.0 != <[u8; 32]>::from(Sha256::digest(&bytes)) {
                return Err(failed(path, "it is damaged; deploy that version again".to_owned()));
            }
            file.component(*digest, &bytes)?;
        }
        Ok(())
    }

    async fn export_instances(&self, file: &mut HubFile) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let query = ListQuery { after, limit: PAGE, ..ListQuery::default() };
            let page = self.store.list(&file.hub, query).await?;
            for InstanceRecord { number, .. } in page.records {
                // Purged meanwhile: it is not there any more.
                let Some((record, history)) = self.store.history(number).await? else { continue };
                let payloads = self.store.payloads(number).await?;
                let timers = open_timers(&record, &history);
                file.entry(&HubEntry::Instance(Box::new(HubInstance { record, payloads, history, timers })))?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn export_mail(&self, file: &mut HubFile) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let page = self.store.mail(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let hub = HubName::clone(&file.hub);
            for mail in page.into_iter().filter(|mail| mail.hub == hub) {
                file.entry(&HubEntry::Mail(Box::new(NewMail { to: mail.to, pin: mail.pin, letter: mail.letter })))?;
            }
        }
    }
}

/// The timers of an instance. Their rows are those of all hubs, in the order of time; its history has them as well.
fn open_timers(record: &InstanceRecord, history: &[HistoryEvent]) -> Vec<(TaskId, Timestamp)> {
    if record.status.is_terminal() {
        return Vec::new();
    }
    let open = match Orchestration::replay(history) {
        Ok(orchestration) => orchestration.effects_in_flight(),
        Err(error) => {
            // Nobody can run it, here or elsewhere; that is no reason to keep the others back.
            tracing::warn!(instance = %record.id, %error, "an instance is exported without timers: its history is broken");
            return Vec::new();
        }
    };
    let timers = open.into_iter().filter_map(|effect| match effect {
        Effect::SetTimer { task, due } => Some((task, due)),
        Effect::RunActivity(_) | Effect::ClearTimer { .. } | Effect::CancelActivity { .. } | Effect::Send(_) => None,
    });
    timers.collect()
}

/// The file on its way: a backup's form, whose rows are entries, each with its length in front.
struct HubFile {
    hub: HubName,
    file: std::fs::File,
    encoder: Encoder,
    rows: Vec<u8>,
}

impl HubFile {
    fn begin(hub: &HubName, now: Timestamp) -> Result<Self, std::io::Error> {
        let (mut file, mut encoder) = (tempfile::tempfile()?, Encoder::default());
        let program = env!("CARGO_PKG_VERSION").to_owned();
        file.write_all(&encoder.head(&Head { layout: LAYOUT.to_owned(), begun: now.as_microsecond(), program }))?;
        Ok(Self { hub: HubName::clone(hub), file, encoder, rows: Vec::new() })
    }

    fn component(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), std::io::Error> {
        self.file.write_all(&self.encoder.component(digest))?;
        for part in bytes.chunks(RECORD_BYTES) {
            self.file.write_all(&self.encoder.part(part))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &HubEntry) -> Result<(), ExportError> {
        let bytes = encode_entry(&self.hub, entry)?;
        self.rows.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.rows.extend_from_slice(&bytes);
        if self.rows.len() >= RECORD_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), std::io::Error> {
        for rows in std::mem::take(&mut self.rows).chunks(RECORD_BYTES) {
            self.file.write_all(&self.encoder.rows(rows))?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<std::fs::File, std::io::Error> {
        self.flush()?;
        self.file.write_all(&self.encoder.end())?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file)
    }
}
