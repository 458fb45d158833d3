//! Opening and creating a data directory.
//!
//! Beside sled's own files (`db`, `conf`, `blobs`) it holds `format` (which layout the rows have), `lock` (held by the
//! process that uses it), `journal` (see [`super::journal`]) and `sequence` (how far acknowledgements went).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::encoding::{self, MetaRow};
use super::inspect::{Finding, Last};
use super::journal::{self, Journal, Record};
use super::rows::Rows;
use super::{SledOptions, fdatasync, inspect, keys};
use crate::private;
use crate::store::StoreError;

/// The layout of the rows that this version writes and reads.
pub(super) const FORMAT: &str = "durawasm store, format 3\n";

/// The layout before: the same rows, without a journal.
pub(super) const WITHOUT_JOURNAL: &str = "durawasm store, format 2\n";

/// A page beyond a quarter of a segment becomes a file under `blobs`, which sled never syncs; see
/// [`super::prepare::MAX_VALUE`].
pub(super) const SEGMENT_BYTES: usize = 4 << 20;

/// A lock may linger for a moment: in a child process between fork and exec, or in a store that is being dropped.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
const LOCK_STEP: Duration = Duration::from_millis(10);

/// Bytes of the checksum in the file `sequence`.
const CHECKSUM: usize = 8;

/// Why a data directory cannot be used. Nothing in it was changed, unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the data directory {} is in use by another process; stop that one, or choose another directory with --store", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error("the directory {} holds files, but no durawasm store; choose an empty or new directory", .0.display())]
    Foreign(PathBuf),
    /// It was written by a version with another layout.
    #[error("the data directory {} has the format '{found}', and this version reads only '{expected}'; use the version of durawasm that wrote it", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// What its format file says.
        found: String,
        /// What this version reads.
        expected: String,
    },
    /// What was on the disk before the store was last opened, or long before its last write, cannot be read.
    #[error(
        "the data directory {} is damaged: {damage}. Nothing was changed. Restore the directory from a backup, and check the disk",
        path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is damaged, and where.
        damage: String,
    },
    /// Acknowledged work is missing: the log was damaged, cut, or replaced by an older copy.
    #[error(
        "the data directory {} has lost acknowledged work: the last {} (numbers {} to {promised}){}{}. \
         Nothing was changed. Check the disk. {}",
        path.display(), batches(promised - stored), stored + 1, instances_lost(*instances), gap_at(*gap),
        choices(*stored, *exact)
    )]
    Shortfall {
        /// The directory.
        path: PathBuf,
        /// The last batch that is there.
        stored: u64,
        /// The last batch that was acknowledged.
        promised: u64,
        /// How many instances were started in the missing batches.
        instances: u64,
        /// The byte of the file `db` that cannot be read, if more follows there.
        gap: Option<u64>,
        /// True: without the file `sequence` the store opens with everything up to `stored`, and with nothing of what came
        /// after. False: what is left is not of one moment.
        exact: bool,
    },
    /// The program was built such that sled's syncs are none.
    #[error("this program was linked in a way that does not let it use the data directory {}: sync_file_range is not its own", .0.display())]
    Linked(PathBuf),
    /// The file system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The rows could not be read.
    #[error("the data directory {} cannot be opened: {source}", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: StoreError,
    },
}

fn batches(number: u64) -> String {
    match number {
        1 => "batch of commits".into(),
        many => format!("{many} batches of commits"),
    }
}

fn choices(stored: u64, exact: bool) -> String {
    if exact {
        format!(
            "Then either restore a backup into another directory (`durawasm restore`), or accept the loss: copy the \
             directory, delete the file 'sequence' in it, and start again. Everything up to batch {stored} is there as it \
             was, and nothing that came after has happened: instances started since then are unknown, others go on from \
             where they were, events sent to them since are gone, and activities whose results are lost run again"
        )
    } else {
        "Then restore a backup into another directory (`durawasm restore`): what is left here is not of one moment. A batch may \
         be there in part, and rows may be missing or older than they were. Only without a backup, to see what is left: \
         copy the directory, delete the file 'sequence' in it, and start again"
            .into()
    }
}

fn instances_lost(instances: u64) -> String {
    match instances {
        0 => ", in which no instance was started".into(),
        1 => ", in which one instance was started".into(),
        many => format!(", in which {many} instances were started"),
    }
}

fn gap_at(gap: Option<u64>) -> String {
    gap.map_or_else(String::new, |offset| format!("; the file 'db' cannot be read at byte {offset}"))
}

/// What an open data directory consists of.
pub(super) struct Opened {
    pub(super) db: sled::Db,
    /// The log, for syncing it.
    pub(super) data: File,
    /// Held as long as the directory is used.
    pub(super) lock: File,
    pub(super) sidecar: Sidecar,
    pub(super) journal: Journal,
    pub(super) meta: MetaRow,
}

/// Opens the directory, and creates it if there is none or it is empty.
pub(super) fn open(path: &Path, options: &SledOptions) -> Result<Opened, OpenError> {
    if !fdatasync::is_ours() {
        return Err(OpenError::Linked(path.to_owned()));
    }
    // The last file that a creation makes: without it, nobody can know that the first syncs were done.
    let created = !path.join("sequence").exists();
    private::create_directory(path).map_err(io_error("cannot create the data directory", path))?;
    let mut format = String::new();
    let format_path = path.join("format");
    match File::open(&format_path) {
        Ok(mut file) => drop(file.read_to_string(&mut format).map_err(io_error("cannot read", &format_path))?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("cannot read", &format_path)(error)),
    }
    if format.is_empty() && !is_new(path)? {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let lock = lock(path)?;
    let creating = path.join("creating");
    if format.is_empty() {
        write_synced(&creating, b"removed once the store is complete\n")?;
        sync_directory(path)?;
        write_synced(&format_path, FORMAT.as_bytes())?;
    } else if format != FORMAT && format != WITHOUT_JOURNAL {
        let (found, expected) = (format.trim().to_owned(), FORMAT.trim().to_owned());
        return Err(OpenError::Format { path: path.to_owned(), found, expected });
    }
    let is_creation = creating.exists();
    if is_creation {
        // One that was cut short has acknowledged nothing; sled cannot always open what is left of it.
        remove_unfinished(path)?;
    }
    let records = journal::read(path).map_err(io_error("cannot read the journal in", path))?;
    check(path, &records)?;
    let db = open_sled(path, options)?;
    let log = path.join("db");
    let data = File::options().read(true).write(true).open(&log).map_err(io_error("cannot open", &log))?;
    let journal = Journal::open(path).map_err(io_error("cannot make the journal in", path))?;
    if created || is_creation {
        sync_created(path, &data)?;
    } else {
        sync_reopened(path, &data)?;
    }
    let unusable = |error| store_error(path, error);
    let stored = stored_meta(&db).map_err(unusable)?;
    if journal::continues(stored, &records) {
        let failed = |error| store_error(path, super::read::failed(error));
        let rows = Rows::new(sled::Tree::clone(&db));
        journal::replay(&rows, records).map_err(failed)?;
        db.flush().map_err(failed)?;
        data.sync_data().map_err(io_error("cannot sync", &log))?;
    }
    let meta = stored_meta(&db).map_err(unusable)?;
    if format == WITHOUT_JOURNAL {
        upgrade(path)?;
    }
    let (sidecar, promised) = Sidecar::open(path)?;
    compare(path, meta, promised, (None, false))?;
    if is_creation {
        fs::remove_file(&creating).map_err(io_error("cannot remove", &creating))?;
        // From here on there may be acknowledgements.
        sync_directory(path)?;
    }
    Ok(Opened { db, data, lock, sidecar, journal, meta })
}

fn stored_meta(db: &sled::Db) -> Result<MetaRow, StoreError> {
    match db.get(keys::META).map_err(super::read::failed)? {
        Some(row) => encoding::decode(&row, "the row about the store"),
        None => Ok(MetaRow { sequence: 0, next_number: 1, last_mail: None }),
    }
}

/// A store of the layout before has got its journal: earlier versions, which would not look there, must not open it.
fn upgrade(path: &Path) -> Result<(), OpenError> {
    let (new, format) = (path.join("format.new"), path.join("format"));
    write_synced(&new, FORMAT.as_bytes())?;
    fs::rename(&new, &format).map_err(io_error("cannot write", &format))?;
    sync_directory(path)
}

/// Refuses what is damaged or lacks acknowledged work before sled, which repairs in silence, can change it.
fn check(path: &Path, records: &[Record]) -> Result<(), OpenError> {
    let finding = inspect::inspect(path).map_err(io_error("cannot check", path))?;
    if let Some(damage) = &finding.damage {
        return Err(OpenError::Damaged { path: path.to_owned(), damage: damage.clone() });
    }
    let sequence = path.join("sequence");
    match fs::read(&sequence) {
        Ok(bytes) => {
            let promised = Promise::decode(&bytes).unwrap_or_default();
            // What sled's log had durably must be in it. The journal may have it, too; but sled may have used the
            // places again in which the rows were before.
            let lost = finding.meta.sequence < promised.checkpoint && !finding.complete;
            let reached = if lost { Ok(finding.meta) } else { journal::reached(finding.meta, records) };
            let reached = reached.map_err(|error| store_error(path, error))?;
            compare(path, reached, promised, (finding.gap, is_exact(&finding, reached, promised)))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("cannot read", &sequence)(error)),
    }
    // What sled is about to take for given must not be lost in a power cut while it opens.
    let log = path.join("db");
    if log.exists() {
        File::open(&log).and_then(|log| log.sync_all()).map_err(io_error("cannot sync", &log))?;
    }
    finding.put_aside(path).and_then(|()| inspect::finish_snapshots(path)).map_err(io_error("cannot write in", path))
}

/// Whether the store as it would open now is the one of a moment.
fn is_exact(finding: &Finding, reached: MetaRow, promised: Promise) -> bool {
    // Nothing is moved into places that were free before what is missing.
    let unmoved = finding.complete || finding.gap.is_none() && finding.meta.sequence >= promised.checkpoint;
    let whole = match finding.last {
        Last::Batch => true,
        // As it was opened then.
        Last::Snapshot => finding.meta.sequence == promised.checkpoint,
        Last::Other => false,
    };
    // sled may have a part of the batch after its last whole one; the journal completes that.
    unmoved && (whole || reached.sequence > finding.meta.sequence)
}

fn compare(
    path: &Path,
    stored: MetaRow,
    promised: Promise,
    (gap, exact): (Option<u64>, bool),
) -> Result<(), OpenError> {
    if promised.sequence <= stored.sequence {
        return Ok(());
    }
    Err(OpenError::Shortfall {
        path: path.to_owned(),
        stored: stored.sequence,
        promised: promised.sequence,
        instances: promised.next_number.saturating_sub(stored.next_number),
        gap,
        exact,
    })
}

/// True: nothing is in the directory but what a creation that was cut short may have left.
fn is_new(path: &Path) -> Result<bool, OpenError> {
    for entry in fs::read_dir(path).map_err(io_error("cannot read", path))? {
        let name = entry.map_err(io_error("cannot read", path))?.file_name();
        if name != "lock" && name != "format" && name != "creating" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(io_error("cannot open", &file))?;
    let mut patience = LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if patience.is_zero() => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::WouldBlock) => patience = wait(patience),
            Err(TryLockError::Error(error)) => return Err(io_error("cannot take hold of", &file)(error)),
        }
    }
}

fn wait(patience: Duration) -> Duration {
    std::thread::sleep(LOCK_STEP);
    patience.saturating_sub(LOCK_STEP)
}

/// Opens sled's part. Nobody else can have it, for the lock is ours; but what is left of a store that this process has
/// just closed may take a moment to go.
fn open_sled(path: &Path, options: &SledOptions) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    let mut patience = LOCK_PATIENCE;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if is_lock_error(&error) => {
                if patience.is_zero() {
                    return Err(OpenError::InUse(path.to_owned()));
                }
                patience = wait(patience);
            }
            Err(error) => return Err(store_error(path, super::read::failed(error))),
        }
    }
}

/// sled wraps the error of the system call in one of its own, which only its text tells from others.
fn is_lock_error(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// sled never syncs its `conf` file, and without it the log cannot be read; nor does it sync directories.
fn sync_created(path: &Path, data: &File) -> Result<(), OpenError> {
    data.sync_all().map_err(io_error("cannot sync", path))?;
    let mut parents = vec![path.join("conf"), path.join("blobs"), path.to_owned()];
    parents.extend(path.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned));
    for path in parents {
        File::open(&path).and_then(|file| file.sync_all()).map_err(io_error("cannot sync", &path))?;
    }
    Ok(())
}

/// sled has written a snapshot and cleared the segments that are free by it, and synced neither the directory nor the
/// log.
fn sync_reopened(path: &Path, data: &File) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all()).and_then(|()| data.sync_data());
    synced.map_err(io_error("cannot sync", path))
}

fn sync_directory(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("cannot sync", path))
}

/// Removes what a creation that did not come to its end has left, but for the marks that say so.
fn remove_unfinished(path: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(path).map_err(io_error("cannot read", path))? {
        let entry = entry.map_err(io_error("cannot read", path))?;
        let name = entry.file_name();
        if ["lock", "format", "creating"].iter().any(|kept| name == *kept) {
            continue;
        }
        let entry = entry.path();
        let removed = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
        removed.map_err(io_error("cannot remove", &entry))?;
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(io_error("cannot write", path))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}

pub(super) fn store_error(path: &Path, source: StoreError) -> OpenError {
    OpenError::Store { path: path.to_owned(), source }
}

/// The file that says how far acknowledgements went. It is written after each sync and not synced itself: it need not
/// survive a power cut, only damage to the log.
#[derive(Debug)]
pub(super) struct Sidecar(File);

impl Sidecar {
    /// The file, and what it says; nothing, if it is not there or was torn.
    fn open(path: &Path) -> Result<(Self, Promise), OpenError> {
        let path = path.join("sequence");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io_error("cannot open", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io_error("cannot read", &path))?;
        let promise = Promise::decode(&bytes);
        if promise.is_none() && !bytes.is_empty() {
            tracing::warn!(path = %path.display(), "the file is torn; whether acknowledged work is missing cannot be checked");
        }
        Ok((Self(file), promise.unwrap_or_default()))
    }

    /// Everything up to here is about to be acknowledged. A failure makes the next check weaker, nothing else.
    pub(super) fn write(&self, promise: Promise) {
        if let Err(error) = self.0.write_all_at(&promise.encode(), 0) {
            tracing::warn!(%error, "the file 'sequence' in the data directory could not be written");
        }
    }
}

/// How far acknowledgements went, and how far sled's own log was durable by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    sequence: u64,
    next_number: u64,
    checkpoint: u64,
}

impl Promise {
    pub(super) fn new(meta: MetaRow, checkpoint: u64) -> Self {
        Self { sequence: meta.sequence, next_number: meta.next_number, checkpoint }
    }

    /// None: it was torn.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if Sha256::digest(numbers)[..CHECKSUM] != *checksum {
            return None;
        }
        let mut numbers = numbers.chunks_exact(8).filter_map(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let (sequence, next_number) = (numbers.next()?, numbers.next()?);
        // Before there was a journal, all that was acknowledged was in sled's log.
        Some(Self { sequence, next_number, checkpoint: numbers.next().unwrap_or(sequence) })
    }

    fn encode(self) -> Vec<u8> {
        let numbers = [self.sequence, self.next_number, self.checkpoint];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum[..CHECKSUM]);
        bytes
    }
}
