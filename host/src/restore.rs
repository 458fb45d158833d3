//! Restoring: a data directory from a backup.
//!
//! The file is read twice: once to see that it is whole, before anything is changed, and once to restore it. While the
//! directory is incomplete, a mark in it says so, and no server opens it.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::private;
use crate::store::StoreError;
use crate::store::backup::{Decoder, FileError, Head, Item, Totals};
use crate::store::sled::{LAYOUT, OpenError, Restoring, SledOptions, SledStore};
use crate::wasm::{COMPONENTS, component_file};

/// The mark: a directory with this file is not complete, and nothing in it has ever been used.
const MARK: &str = "restoring";
/// Where the store lies in a data directory.
pub(crate) const STORE: &str = "store";
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Why a backup was not restored. Unless said otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file.
    #[error("the backup {} cannot be restored: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// The file was made by a version with another layout of the rows.
    #[error(
        "the backup {} was made by durawasm {program} and has the layout '{found}', and this version restores only \
         '{LAYOUT}'; restore it with the version that made it", path.display()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Which version made it.
        program: String,
        /// Its layout.
        found: String,
    },
    /// Something is in the directory already.
    #[error("the directory {} is not empty; restore into an empty or new one", .0.display())]
    NotEmpty(PathBuf),
    /// Another process restores into the directory.
    #[error("another process is restoring into {}", .0.display())]
    InUse(PathBuf),
    /// The file system refused. What is in the directory is incomplete, and is not opened as a store.
    #[error("{what} {}: {source}. The directory is incomplete; restore again once that is mended", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store could not be written. What is in the directory is incomplete, and is not opened as a store.
    #[error("{0}. The directory is incomplete; restore again once that is mended")]
    Open(#[from] OpenError),
    /// A row could not be written. What is in the directory is incomplete, and is not opened as a store.
    #[error("{0}. The directory is incomplete; restore again once that is mended")]
    Store(#[from] StoreError),
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its beginning.
    pub head: Head,
    /// What it consists of.
    pub totals: Totals,
}

/// Reads a backup from its beginning to its end. `read` hears how many bytes were read. Blocks.
///
/// # Errors
/// When it is not a whole backup.
pub fn check(file: &Path, read: &dyn Fn(u64)) -> Result<Contents, RestoreError> {
    let mut head = None;
    let totals = each(file, read, &mut |item| {
        if let Item::Head(found) = item {
            head = Some(found);
        }
        Ok(())
    })?;
    let missing = FileError::Damaged { at: 0, what: "it has no head" };
    let head = head.ok_or_else(|| RestoreError::File { path: file.to_owned(), source: missing })?;
    Ok(Contents { head, totals })
}

/// Restores a backup into a directory that is empty or new. `read` hears how many bytes were read, from zero to the
/// file's length twice. Blocks.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(file: &Path, data: &Path, read: &dyn Fn(u64)) -> Result<Contents, RestoreError> {
    let contents = check(file, read)?;
    if contents.head.layout != LAYOUT {
        let Head { program, layout: found, .. } = contents.head;
        return Err(RestoreError::Layout { path: file.to_owned(), program, found });
    }
    let mark = begin(data)?;
    let components = data.join(COMPONENTS);
    private::create_directory(&components).map_err(io_error("cannot make", &components))?;
    let store = data.join(STORE);
    let mut rows = Restoring::begin(&store)?;
    let mut component: Option<(PathBuf, BufWriter<File>)> = None;
    each(file, read, &mut |item| {
        match item {
            Item::Head(_) => {}
            Item::Rows(content) => rows.apply(&content)?,
            Item::Component(digest) => {
                finish(component.take())?;
                let path = component_file(data, digest);
                let file = File::create(&path).map_err(io_error("cannot make", &path))?;
                component = Some((path, BufWriter::new(file)));
            }
            Item::Part(bytes) => {
                if let Some((path, file)) = &mut component {
                    file.write_all(&bytes).map_err(io_error("cannot write", path))?;
                }
            }
            Item::End(_) => {}
        }
        Ok(())
    })?;
    finish(component)?;
    rows.finish(&store)?;
    // Whether it opens is better known now than when a server needs it.
    drop(SledStore::open(&store, SledOptions::default())?);
    for directory in [&components, &store, data] {
        sync(directory)?;
    }
    let path = data.join(MARK);
    fs::remove_file(&path).map_err(io_error("cannot remove", &path))?;
    drop(mark);
    sync(data)?;
    Ok(contents)
}

/// Refuses a directory in which a restore has not come to its end.
///
/// # Errors
/// For people.
pub(crate) fn check_complete(data: &Path) -> Result<(), String> {
    if !data.join(MARK).exists() {
        return Ok(());
    }
    Err(format!(
        "the restore into {} has not come to its end, so it holds no complete store; run `durawasm restore` again",
        data.display()
    ))
}

fn each(
    path: &Path,
    read: &dyn Fn(u64),
    take: &mut dyn FnMut(Item) -> Result<(), RestoreError>,
) -> Result<Totals, RestoreError> {
    let failed = |source: FileError| RestoreError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(|error| failed(error.into()))?;
    let mut backup = Decoder::new(BufReader::with_capacity(READ_BYTES, file)).map_err(failed)?;
    loop {
        let item = backup.item().map_err(failed)?;
        read(backup.at());
        if let Item::End(totals) = item {
            return Ok(totals);
        }
        take(item)?;
    }
}

/// Marks the directory as incomplete, if nothing else is in it; what an earlier restore left is removed. The mark is held
/// by this process.
fn begin(data: &Path) -> Result<File, RestoreError> {
    let path = data.join(MARK);
    let in_use = || RestoreError::InUse(data.to_owned());
    let marked = path.exists();
    if !marked && !is_empty(data)? {
        return Err(RestoreError::NotEmpty(data.to_owned()));
    }
    private::create_directory(data).map_err(io_error("cannot make", data))?;
    // Whoever is between these lines and the ones before meets a mark that has come or gone, and leaves the rest alone.
    let mark = match File::options().write(true).create_new(!marked).open(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => return Err(in_use()),
        opened => opened.map_err(io_error("cannot make", &path))?,
    };
    match mark.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        Err(TryLockError::Error(error)) => return Err(io_error("cannot take hold of", &path)(error)),
    }
    let number = |file: io::Result<fs::Metadata>| file.map(|file| file.ino()).ok();
    if number(mark.metadata()) != number(fs::metadata(&path)) {
        return Err(in_use());
    }
    sync(data)?;
    for left in [data.join(COMPONENTS), data.join(STORE)].iter().filter(|left| marked && left.exists()) {
        fs::remove_dir_all(left).map_err(io_error("cannot remove", left))?;
    }
    Ok(mark)
}

fn is_empty(data: &Path) -> Result<bool, RestoreError> {
    match fs::read_dir(data) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_error("cannot read", data)(error)),
    }
}

fn finish(component: Option<(PathBuf, BufWriter<File>)>) -> Result<(), RestoreError> {
    let Some((path, file)) = component else { return Ok(()) };
    let file = file.into_inner().map_err(|error| io_error("cannot write", &path)(error.into_error()))?;
    file.sync_all().map_err(io_error("cannot sync", &path))
}

fn sync(directory: &Path) -> Result<(), RestoreError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io_error("cannot sync", directory))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Io { what, path, source }
}
