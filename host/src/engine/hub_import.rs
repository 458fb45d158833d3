//! A hub from a file of another server, under a name that no hub has yet.
//!
//! The whole file is read before anything is changed. The record then says at first that the hub is being deleted: until
//! the last step, which opens it, nobody sees it, and a crash leaves what the next start removes.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use durawasm_core::{HistoryEvent, TaskId, Timestamp};

use super::executor::AdmitError;
use super::hub_export::LAYOUT;
use super::hubs::HubError;
use super::mail::payload_bytes;
use super::schedules::Beginning;
use super::{Engine, Inner};
use crate::store::backup::{Decoder, FileError, Head, Item};
use crate::store::hub_entries::{HubEntry, HubInstance, decode_entry};
use crate::store::{
    AppRecord, Commit, CommitError, Committed, Digest, Expect, HubName, HubRecord, HubState, InstanceNumber,
    InstanceRecord, MailId, NewMail, PayloadChanges, Reuse, StoreError,
};

/// Instances that are written at once, and the events after which fewer are.
const BATCH: usize = 64;
const BATCH_EVENTS: usize = 2_000;
/// Messages that are written at once, and the bytes after which fewer are.
const LETTERS: usize = 500;
const LETTER_BYTES: usize = 1 << 20;
/// Messages that are read at once when they are to be brought.
const LETTER_PAGE: usize = 1_000;

/// Why a hub was not made from a file. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is a hub of this name.
    #[error("The task hub '{0}' exists already. Import it under another name.")]
    Exists(HubName),
    /// What was sent is no whole file of a hub.
    #[error("The file cannot be imported: {0}.")]
    File(#[from] FileError),
    /// It is the file of something else, or of another version.
    #[error("The file holds '{found}' of durawasm {program}; this version imports '{LAYOUT}'.")]
    Layout {
        /// What it says of itself.
        found: String,
        /// Which version made it.
        program: String,
    },
    /// What it holds makes no hub.
    #[error("The file cannot be imported: {0}.")]
    Content(String),
    /// A component is not admitted here.
    #[error("A component of the hub is not admitted: {0}")]
    Component(#[from] AdmitError),
    /// Creating the hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an import has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Apps.
    pub apps: u64,
    /// Instances.
    pub instances: u64,
    /// Messages between them that were not delivered yet.
    pub messages: u64,
}

/// What must be looked at once the hub is open.
#[derive(Default)]
struct Arrived {
    done: Imported,
    apps: Vec<AppRecord>,
    /// The numbers of its messages: the first, and the one after the last.
    mail: Option<(u64, u64)>,
    /// An instance that is there, whose commits the messages leave with.
    sender: Option<InstanceRecord>,
    ready: Vec<InstanceNumber>,
    timers: Vec<(InstanceNumber, TaskId, Timestamp)>,
}

/// What is read of a file: components, and entries in their order.
enum Part {
    Component(Bytes),
    Entry(HubEntry),
}

impl Engine {
    /// Makes a hub from a file that [`Engine::export_hub`] has made. `largest`: bytes of a component, at most. The name is
    /// the caller's to check.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn import_hub(&self, name: &HubName, file: File, largest: usize) -> Result<Imported, ImportError> {
        // On a task of its own: a caller that goes away leaves no half of a hub.
        let (inner, name) = (Arc::clone(&self.inner), HubName::clone(name));
        let work = tokio::spawn(async move { inner.import_hub(&name, file, largest).await });
        work.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the import was interrupted".to_owned()).into()))
    }
}

impl Inner {
    async fn import_hub(self: &Arc<Self>, name: &HubName, file: File, largest: usize) -> Result<Imported, ImportError> {
        if self.hubs.get(name).is_some() {
            return Err(ImportError::Exists(name.clone()));
        }
        let file = Arc::new(file);
        let record = read_all(Arc::clone(&file), largest).await?;
        let kept = self.apps.components.read().await;
        let mut digests = Vec::new();
        let admitted = self.admit_all(&file, largest, &mut digests).await;
        let imported = match admitted {
            Ok(()) => self.import_rows(name, record, file, &digests).await,
            Err(error) => Err(error),
        };
        drop(kept);
        if imported.is_err() {
            self.forget_components(digests).await;
        }
        imported
    }

    async fn admit_all(&self, file: &Arc<File>, largest: usize, digests: &mut Vec<Digest>) -> Result<(), ImportError> {
        let mut parts = parts(Arc::clone(file), largest);
        while let Some(part) = parts.recv().await {
            if let Part::Component(bytes) = part? {
                digests.push(self.executor.admit(bytes).await?.digest);
            }
        }
        Ok(())
    }

    async fn import_rows(
        self: &Arc<Self>,
        name: &HubName,
        from: HubRecord,
        file: Arc<File>,
        digests: &[Digest],
    ) -> Result<Imported, ImportError> {
        let salt = uuid::Uuid::now_v7().into_bytes();
        let open = HubRecord { config: from.config, ..HubRecord::new(name.clone(), Some(self.now()), salt) };
        let reserved = HubRecord { state: HubState::Deleting, ..open.clone() };
        match self.store.put_hub(reserved.clone(), 0).await {
            Ok(()) => {}
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(CommitError::Conflict | CommitError::Exists(_)) => return Err(ImportError::Exists(name.clone())),
        }
        let opened = match self.import_entries(name, file, digests).await {
            Ok(arrived) => self.open_imported(HubRecord { generation: 1, ..open }, arrived).await,
            Err(error) => Err(error),
        };
        if opened.is_err() {
            self.hubs.put(HubRecord { generation: 1, ..reserved });
            self.begin_deletion(name);
        }
        opened
    }

    /// Writes what the hub consists of, while nobody sees it.
    async fn import_entries(
        &self,
        name: &HubName,
        file: Arc<File>,
        digests: &[Digest],
    ) -> Result<Arrived, ImportError> {
        let mut arrived = Arrived::default();
        let (mut batch, mut letters) = (Batch::default(), Letters::default());
        let mut parts = parts(file, usize::MAX);
        while let Some(part) = parts.recv().await {
            match part? {
                Part::Component(_) | Part::Entry(HubEntry::Hub(_)) => {}
                Part::Entry(HubEntry::App(app)) => {
                    if let Some(missing) = app.versions.iter().find(|version| !digests.contains(&version.digest)) {
                        let text = format!("the component {} of the app '{}' is missing", missing.digest, app.name);
                        return Err(ImportError::Content(text));
                    }
                    let app = AppRecord { hub: name.clone(), generation: 0, ..*app };
                    self.store.put_app(app.clone(), 0).await.map_err(refused)?;
                    arrived.apps.push(AppRecord { generation: 1, ..app });
                }
                Part::Entry(HubEntry::Instance(instance)) => {
                    if batch.is_full() {
                        self.write_batch(&mut batch, &mut arrived).await?;
                    }
                    batch.add(name, *instance);
                }
                Part::Entry(HubEntry::Mail(letter)) => {
                    letters.add(*letter);
                    if letters.is_full() {
                        self.write_batch(&mut batch, &mut arrived).await?;
                        self.write_letters(&mut letters, &mut arrived).await?;
                    }
                }
            }
        }
        self.write_batch(&mut batch, &mut arrived).await?;
        self.write_letters(&mut letters, &mut arrived).await?;
        arrived.done.apps = arrived.apps.len() as u64;
        Ok(arrived)
    }

    async fn write_batch(&self, batch: &mut Batch, arrived: &mut Arrived) -> Result<(), ImportError> {
        let Batch { commits, .. } = std::mem::take(batch);
        let Some(last) = commits.last().map(|commit| commit.record.clone()) else { return Ok(()) };
        let facts: Vec<_> = commits.iter().map(|commit| (commit.record.ready, commit.timers_set.clone())).collect();
        let committed = self.store.commit_all(commits).await.map_err(refused)?;
        for (committed, (ready, timers)) in committed.iter().zip(facts) {
            arrived.ready.extend(ready.then_some(committed.number));
            arrived.timers.extend(timers.into_iter().map(|(task, due)| (committed.number, task, due)));
            arrived.done.instances += 1;
        }
        arrived.sender =
            committed.last().map(|saved| InstanceRecord { number: saved.number, revision: saved.revision, ..last });
        Ok(())
    }

    /// Messages leave with commits of an instance that is there; nobody brings them before the hub is opened.
    async fn write_letters(&self, letters: &mut Letters, arrived: &mut Arrived) -> Result<(), ImportError> {
        let Letters { mail, .. } = std::mem::take(letters);
        if mail.is_empty() {
            return Ok(());
        }
        let Some(sender) = arrived.sender.take() else {
            return Err(ImportError::Content("it holds messages and no instances".to_owned()));
        };
        let count = mail.len() as u64;
        let expect = Expect::Revision(sender.revision);
        let commit = commit_of(expect, sender.clone(), (PayloadChanges::default(), Vec::new()));
        let Committed { revision, first_mail, .. } =
            self.store.commit(Commit { mail_sent: mail, ..commit }).await.map_err(refused)?;
        let first = arrived.mail.map_or(first_mail.0, |(first, _)| first);
        arrived.mail = Some((first, first_mail.0.saturating_add(count)));
        arrived.sender = Some(InstanceRecord { revision, ..sender });
        arrived.done.messages += count;
        Ok(())
    }

    /// Brings the messages that came with a hub. All together they may be more than fits into memory.
    async fn post_imported(self: &Arc<Self>, hub: &HubName, (first, end): (u64, u64)) -> Result<(), StoreError> {
        let mut after = first.checked_sub(1).map(MailId);
        loop {
            let page = self.store.mail(after, LETTER_PAGE).await?;
            let Some(last) = page.last().map(|mail| mail.id) else { return Ok(()) };
            let of_hub = page.into_iter().filter(|mail| mail.hub == *hub && mail.id.0 < end);
            self.post_mail(of_hub.collect());
            if last.0.saturating_add(1) >= end {
                return Ok(());
            }
            after = Some(last);
        }
    }

    /// The last step: from here on the hub is one like any other.
    async fn open_imported(self: &Arc<Self>, record: HubRecord, arrived: Arrived) -> Result<Imported, ImportError> {
        let name = HubName::clone(&record.name);
        {
            let _one_at_a_time = self.apps.decide().await;
            arrived.apps.iter().for_each(|app| self.apps.put(app.clone()));
            if let Err(error) = self.put_hub(record).await {
                arrived.apps.iter().for_each(|app| self.apps.remove(&app.hub, &app.name));
                return Err(error.into());
            }
        }
        let now = self.now();
        for (number, task, due) in arrived.timers {
            self.timers.set(number, task, (due, now));
        }
        arrived.ready.into_iter().for_each(|number| self.wake(number));
        // The hub is there: what goes wrong from here on is mended by the next start.
        if let Some(mail) = arrived.mail
            && let Err(error) = self.post_imported(&name, mail).await
        {
            tracing::error!(%error, "the messages of an imported hub cannot be read; they are brought at the next start");
        }
        self.retention.look_again();
        if let Err(error) = self.keep_schedules(Beginning::Later).await {
            tracing::error!(%error, "the schedules of an imported hub cannot be written; they are at the next start");
        }
        Ok(arrived.done)
    }
}

fn refused(error: CommitError) -> ImportError {
    match error {
        CommitError::Store(error) => error.into(),
        CommitError::Conflict => ImportError::Content("something of it comes twice".to_owned()),
        CommitError::Exists(record) => ImportError::Content(format!("the instance '{}' comes twice", record.id)),
    }
}

/// Instances that are written together.
#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    events: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.commits.len() >= BATCH || self.events >= BATCH_EVENTS
    }

    fn add(&mut self, hub: &HubName, instance: HubInstance) {
        let HubInstance { record, payloads, history, timers } = instance;
        self.events += history.len();
        let payloads = PayloadChanges {
            input: Some(payloads.input),
            output: Some(payloads.output),
            custom_status: Some(payloads.custom_status),
        };
        let record = InstanceRecord { hub: hub.clone(), ..record };
        let commit = commit_of(Expect::Startable(Reuse::Never), record, (payloads, history));
        self.commits.push(Commit { timers_set: timers, ..commit });
    }
}

/// Messages that are written together.
#[derive(Default)]
struct Letters {
    mail: Vec<NewMail>,
    bytes: usize,
}

impl Letters {
    fn is_full(&self) -> bool {
        self.mail.len() >= LETTERS || self.bytes >= LETTER_BYTES
    }

    fn add(&mut self, letter: NewMail) {
        self.bytes += payload_bytes(&letter.letter);
        self.mail.push(letter);
    }
}

fn commit_of(
    expect: Expect,
    record: InstanceRecord,
    (payloads, events): (PayloadChanges, Vec<HistoryEvent>),
) -> Commit {
    Commit {
        expect,
        record,
        payloads,
        fresh_history: false,
        events,
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
        mail_sent: Vec::new(),
        mail_taken: Vec::new(),
        usage: Default::default(),
    }
}

/// Reads the file to its end; the hub's record.
async fn read_all(file: Arc<File>, largest: usize) -> Result<HubRecord, ImportError> {
    let (mut record, mut parts) = (None, parts(file, largest));
    while let Some(part) = parts.recv().await {
        match part? {
            Part::Entry(HubEntry::Hub(hub)) if record.is_none() => record = Some(*hub),
            Part::Entry(HubEntry::Hub(_)) => return Err(ImportError::Content("it holds two hubs".to_owned())),
            Part::Entry(HubEntry::App(_) | HubEntry::Instance(_) | HubEntry::Mail(_)) | Part::Component(_) => {}
        }
    }
    record.ok_or_else(|| ImportError::Content("it holds no hub".to_owned()))
}

/// The parts of a file, read on a thread of their own. The last one is an error if the file is not whole.
fn parts(file: Arc<File>, largest: usize) -> tokio::sync::mpsc::Receiver<Result<Part, ImportError>> {
    let (sender, parts) = tokio::sync::mpsc::channel(BATCH);
    tokio::task::spawn_blocking(move || {
        // Nobody there: nobody needs to know.
        let send = |part| sender.blocking_send(Ok(part)).is_ok();
        if let Err(error) = read_parts(&file, largest, send) {
            drop(sender.blocking_send(Err(error)));
        }
    });
    parts
}

fn read_parts(mut file: &File, largest: usize, send: impl Fn(Part) -> bool) -> Result<(), ImportError> {
    file.seek(SeekFrom::Start(0)).map_err(FileError::from)?;
    let mut decoder = Decoder::new(BufReader::new(file))?;
    let (mut rows, mut component): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
    loop {
        let item = next(&mut decoder)?;
        if !matches!(item, Item::Part(_))
            && let Some(bytes) = component.take()
            && !send(Part::Component(bytes.into()))
        {
            return Ok(());
        }
        match item {
            Item::Head(_) => {}
            Item::Component(_) => component = Some(Vec::new()),
            Item::Part(part) => {
                let bytes = component.get_or_insert_default();
                bytes.extend_from_slice(&part);
                if bytes.len() > largest {
                    return Err(AdmitError::TooLarge { size: bytes.len(), limit: largest }.into());
                }
            }
            Item::Rows(content) => {
                rows.extend_from_slice(&content);
                while let Some(entry) = take_entry(&mut rows) {
                    let entry = decode_entry(&entry).map_err(|error| ImportError::Content(error.to_string()))?;
                    if !send(Part::Entry(entry)) {
                        return Ok(());
                    }
                }
            }
            Item::End(_) if rows.is_empty() => return Ok(()),
            Item::End(_) => return Err(ImportError::Content("its last entry is cut off".to_owned())),
        }
    }
}

fn next<R: Read>(decoder: &mut Decoder<R>) -> Result<Item, ImportError> {
    match decoder.item()? {
        Item::Head(Head { layout, program, .. }) if layout != LAYOUT => {
            Err(ImportError::Layout { found: layout, program })
        }
        item => Ok(item),
    }
}

/// The next entry of these bytes, if all of it is there.
fn take_entry(rows: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(rows.get(..8)?.try_into().ok()?)).ok()?;
    let end = length.checked_add(8).filter(|end| *end <= rows.len())?;
    let entry = rows.get(8..end)?.to_vec();
    rows.drain(..end);
    Some(entry)
}
