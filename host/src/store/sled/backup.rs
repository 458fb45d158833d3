//! Backups while the store works, and their way back.
//!
//! From the beginning on, each batch is copied into a file aside before it is applied; meanwhile all rows are read, page by
//! page, each page of another moment. Whatever a page lacks or has too early is in a batch, for the file aside ends
//! after the last page was read. So the rows, and then the batches in their order, are the store at that end. This is
//! the argument by which the journal is applied to what sled happened to write.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::open::{self, FORMAT, OpenError, Opened};
use super::rows::{Changes, decode, encode};
use super::{Shared, SledOptions, read};
use crate::store::StoreError;
use crate::store::backup::{BackupError, BackupRows, Piece, RECORD_BYTES, frame_rows, read_rows};

/// Pieces that may wait for whoever takes them.
const AHEAD: usize = 4;
/// Bytes that are applied while rows are read, at most: a reader that is slower must try again. Bounds what a backup takes
/// from the disk.
pub(super) const ASIDE_BYTES: u64 = 1 << 30;
/// Rows and bytes that are read at once; the writer waits meanwhile.
const PAGE_ROWS: usize = 256;
const PAGE_BYTES: usize = 128 << 10;
/// Rows after which a restore lets go of memory, see [`super::writer`].
const TIDY_ROWS: usize = 1_000;

/// The layout of the rows in backups that this version makes and restores.
pub(crate) const LAYOUT: &str = FORMAT.trim_ascii_end();

/// Where batches are copied while a backup is made, and where it begins and ends between two of them.
#[derive(Debug)]
pub(super) struct Aside {
    state: Mutex<State>,
    changed: Condvar,
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    copies: Option<Copies>,
    /// Batches that the writer has begun to write, and those that it is done with.
    begun: u64,
    done: u64,
}

#[derive(Debug)]
enum Copies {
    /// In a file that has no name and is gone when it is closed.
    Complete { file: BufWriter<File>, bytes: u64 },
    /// Not all of them could be written.
    Failed(String),
}

impl Copies {
    fn add(&mut self, rows: &Changes, limit: u64) -> Result<(), String> {
        let Self::Complete { file, bytes } = self else { return Ok(()) };
        let mut content = Vec::new();
        for (index, (key, value)) in rows.iter().enumerate() {
            encode(&mut content, key, value.as_deref());
            if content.len() >= RECORD_BYTES || index + 1 == rows.len() {
                let record = frame_rows(&content);
                file.write_all(&record).map_err(|error| format!("cannot copy what is written meanwhile: {error}"))?;
                *bytes += record.len() as u64;
                content.clear();
            }
        }
        if *bytes > limit {
            return Err(format!("the backup is read too slowly: {bytes} bytes were written meanwhile"));
        }
        Ok(())
    }
}

impl Aside {
    /// `limit`: bytes of copies, at most.
    pub(super) fn new(limit: u64) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// The writer begins to write a batch, or to show one that flew. It is copied, if a backup wants it. What goes wrong ends the backup, and not
    /// the store's work: a copy is a write that nobody syncs.
    pub(super) fn batch(&self, rows: &Changes) -> Writing<'_> {
        let mut state = self.state();
        state.begun += 1;
        if let Some(copies) = &mut state.copies
            && let Err(reason) = copies.add(rows, self.limit)
        {
            tracing::warn!(reason, "the backup that is being made will fail");
            // The file is closed by this, and its space free again.
            *copies = Copies::Failed(reason);
        }
        Writing(self)
    }

    /// Exchanges where copies go, and waits until the batch that is being written meanwhile is done.
    fn exchange(&self, copies: Option<Copies>) -> Option<Copies> {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.copies, copies);
        let begun = state.begun;
        while state.done < begun {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        before
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it exists, a batch is being written.
pub(super) struct Writing<'a>(&'a Aside);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().done += 1;
        self.0.changed.notify_all();
    }
}

/// A backup that has begun: ends the copying however it ends itself.
struct Running {
    shared: Arc<Shared>,
    _alone: OwnedSemaphorePermit,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.aside.exchange(None);
    }
}

impl Running {
    fn begin(shared: Arc<Shared>, alone: OwnedSemaphorePermit) -> io::Result<Self> {
        let file = BufWriter::with_capacity(RECORD_BYTES, tempfile::tempfile_in(&shared.path)?);
        shared.aside.exchange(Some(Copies::Complete { file, bytes: 0 }));
        Ok(Self { shared, _alone: alone })
    }

    /// The batches since the beginning. Everything acknowledged by now is in them or in the rows that were read.
    fn end(&self) -> Result<File, StoreError> {
        let unavailable = |text: String| StoreError::Unavailable(text);
        let copies = self.shared.aside.exchange(None);
        // A batch whose writing failed has been copied, too.
        self.shared.durable.check()?;
        match copies {
            Some(Copies::Complete { file, .. }) => {
                let mut file = file.into_inner().map_err(|error| unavailable(error.to_string()))?;
                file.rewind().map_err(|error| unavailable(error.to_string()))?;
                Ok(file)
            }
            Some(Copies::Failed(reason)) => Err(unavailable(reason)),
            None => Err(unavailable("the store is closed".into())),
        }
    }

    fn send_all(self, pieces: &mpsc::Sender<Result<Piece, StoreError>>) -> Result<(), StoreError> {
        // False: nobody takes them any more.
        let send = |rows: Vec<u8>| pieces.blocking_send(Ok(Piece::Rows(rows))).is_ok();
        let (mut after, mut content) = (Vec::new(), Vec::new());
        loop {
            let last = self.shared.tree.page(&after, (PAGE_ROWS, PAGE_BYTES), |key, value| {
                encode(&mut content, key, Some(value));
            });
            let last = last.map_err(read::failed)?;
            if (last.is_none() || content.len() >= RECORD_BYTES / 2) && !content.is_empty() {
                if !send(std::mem::take(&mut content)) {
                    return Ok(());
                }
                self.shared.durable.check()?;
            }
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        let batches = BufReader::new(self.end()?);
        read_rows(batches, send)
            .map_err(|error| StoreError::Unavailable(format!("what was written meanwhile: {error}")))?;
        // Nobody there: nobody needs to know.
        drop(pieces.blocking_send(Ok(Piece::End)));
        Ok(())
    }
}

/// Begins a backup.
pub(super) fn begin(shared: &Arc<Shared>) -> Result<BackupRows, BackupError> {
    shared.durable.check()?;
    let alone = shared.one_backup.clone().try_acquire_owned().map_err(|_| BackupError::Busy)?;
    let (sender, pieces) = mpsc::channel(AHEAD);
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || {
        let begun = Running::begin(shared, alone)
            .map_err(|error| StoreError::Unavailable(format!("cannot make a file in the data directory: {error}")));
        if let Err(error) = begun.and_then(|running| running.send_all(&sender)) {
            drop(sender.blocking_send(Err(error)));
        }
    });
    Ok(BackupRows { layout: LAYOUT, pieces })
}

/// A store that is being made from a backup. It must not be used before [`Restoring::finish`].
pub(crate) struct Restoring {
    opened: Opened,
    rows: usize,
}

impl Restoring {
    /// In a directory that is new or empty.
    pub(crate) fn begin(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { opened: open::open(path, &SledOptions::default())?, rows: 0 })
    }

    /// Applies rows in the order of the backup.
    pub(crate) fn apply(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let rows = decode(content).ok_or_else(|| StoreError::Corrupt("rows of a backup are not readable".into()))?;
        for (key, value) in rows {
            match value {
                Some(value) => self.opened.db.insert(key, value),
                None => self.opened.db.remove(key),
            }
            .map_err(read::failed)?;
            self.rows += 1;
            if self.rows.is_multiple_of(TIDY_ROWS) {
                crossbeam_epoch::pin().flush();
            }
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(crate) fn finish(self, path: &Path) -> Result<(), OpenError> {
        let failed = |error| open::store_error(path, error);
        self.opened.db.flush().map_err(|error| failed(read::failed(error)))?;
        let synced = self.opened.data.sync_all().and_then(|()| File::open(path)?.sync_all());
        synced.map_err(|error| failed(StoreError::Unavailable(format!("a sync failed: {error}"))))
    }
}
