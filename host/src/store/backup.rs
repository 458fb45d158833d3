//! A backup: all rows of a store as of one moment, and the components that its instances run on, in one file.
//!
//! The file is a line that says what it is, and then records: the length of the content, a checksum of length and content, the
//! content, whose first byte is its kind. Rows are changes, to be applied in order; what they consist of is the business
//! of the backend that wrote them. The last record counts the others and has the SHA-256 of all bytes before it. A file
//! without that record is no backup.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Digest, StoreError};

/// The first line.
const MAGIC: &[u8] = b"durawasm backup, form 1\n";
/// What the first lines of all forms begin with.
const ANY_FORM: &[u8] = b"durawasm backup, form ";
/// Length and checksum, in front of each record's content.
const FRAME: usize = 4 + 4;
/// The longest content of a record, in bytes. Writers stay far below.
const LONGEST: usize = 8 << 20;
/// Bytes of rows or of a component that a writer puts into one record.
pub const RECORD_BYTES: usize = 256 << 10;

/// What a store gives for a backup, piece by piece.
#[derive(Debug)]
pub enum Piece {
    /// Rows or changes of rows, encoded as the backend does.
    Rows(Vec<u8>),
    /// There are no more: the store as it was at this moment is complete. Without it something went wrong.
    End,
}

/// The rows of a store on their way into a backup.
#[derive(Debug)]
pub struct BackupRows {
    /// The layout of the rows, which whoever restores them must know.
    pub layout: &'static str,
    /// The pieces. Dropping it ends the backup.
    pub pieces: mpsc::Receiver<Result<Piece, StoreError>>,
}

/// Why a store gives no backup.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    /// It keeps nothing that could be restored.
    #[error("a store in memory has no backup; serve with --store sled:DIRECTORY")]
    Unsupported,
    /// One at a time.
    #[error("another backup of this server is being made; try again when it has ended")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a file cannot be restored. `at` is the place in the file, in bytes.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is something else.
    #[error("it is no backup of durawasm")]
    Foreign,
    /// It was written by another version, in a form that this one does not know.
    #[error("it is a backup in a form that this version does not read ({0}); use the version of durawasm that made it")]
    Form(String),
    /// It ends too early.
    #[error("it is cut off at byte {at}: the end of the backup is missing")]
    Cut {
        /// Its length.
        at: u64,
    },
    /// It is not what was written.
    #[error("it is damaged: {what} in the record at byte {at}")]
    Damaged {
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server gave up while it wrote it.
    #[error("the server could not finish it: {0}")]
    GivenUp(String),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The beginning of a backup.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Eq)]
#[cbor(map)]
pub struct Head {
    /// The layout of the rows.
    #[n(0)]
    pub layout: String,
    /// When it was begun, in microseconds since 1970.
    #[n(1)]
    pub begun: i64,
    /// The version of the program.
    #[n(2)]
    pub program: String,
}

/// What a backup consists of.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, PartialEq, Eq)]
#[cbor(map)]
pub struct Totals {
    /// Records with rows.
    #[n(0)]
    pub rows: u64,
    /// Components.
    #[n(1)]
    pub components: u64,
    /// Bytes of the file up to the last record.
    #[n(2)]
    pub bytes: u64,
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct EndRow {
    #[n(0)]
    totals: Totals,
    #[cbor(n(1), with = "minicbor::bytes")]
    sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head = b'H' as isize,
    Rows = b'R' as isize,
    Component = b'C' as isize,
    Part = b'P' as isize,
    GivenUp = b'G' as isize,
    End = b'E' as isize,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Head, Self::Rows, Self::Component, Self::Part, Self::GivenUp, Self::End];

    fn byte(self) -> u8 {
        self as u8
    }
}

fn frame(kind: Kind, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + content.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut checksum = crc32fast::Hasher::new();
    [&length[..], &[kind.byte()], content].into_iter().for_each(|bytes| checksum.update(bytes));
    let mut framed = Vec::with_capacity(FRAME + 1 + content.len());
    framed.extend_from_slice(&length);
    framed.extend_from_slice(&checksum.finalize().to_le_bytes());
    framed.push(kind.byte());
    framed.extend_from_slice(content);
    framed
}

/// Rows as a record, for a file that holds nothing else.
pub(super) fn frame_rows(content: &[u8]) -> Vec<u8> {
    frame(Kind::Rows, content)
}

/// Makes the bytes of a backup; what its methods return is to be written one after the other.
#[derive(Debug, Default)]
pub struct Encoder {
    sha256: Sha256,
    totals: Totals,
}

impl Encoder {
    /// The beginning.
    #[must_use]
    pub fn head(&mut self, head: &Head) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(frame(Kind::Head, &encode(head)));
        self.counted(bytes)
    }

    /// Rows.
    #[must_use]
    pub fn rows(&mut self, content: &[u8]) -> Vec<u8> {
        self.totals.rows += 1;
        self.counted(frame(Kind::Rows, content))
    }

    /// The beginning of a component.
    #[must_use]
    pub fn component(&mut self, digest: Digest) -> Vec<u8> {
        self.totals.components += 1;
        self.counted(frame(Kind::Component, &digest.0))
    }

    /// The next bytes of the component that was begun last.
    #[must_use]
    pub fn part(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.counted(frame(Kind::Part, bytes))
    }

    /// The end; without it, what was written is no backup.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        frame(Kind::End, &encode(&EndRow { totals: self.totals, sha256: self.sha256.finalize().into() }))
    }

    /// In place of the end: why there is none.
    #[must_use]
    pub fn given_up(reason: &str) -> Vec<u8> {
        frame(Kind::GivenUp, reason.as_bytes())
    }

    fn counted(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.sha256.update(&bytes);
        self.totals.bytes += bytes.len() as u64;
        bytes
    }
}

/// Writing to memory does not fail.
fn encode(row: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(row).unwrap_or_default()
}

/// A piece of a backup that is read.
#[derive(Debug)]
pub enum Item {
    /// The beginning.
    Head(Head),
    /// Rows, to be applied in order.
    Rows(Vec<u8>),
    /// A component begins.
    Component(Digest),
    /// The component goes on.
    Part(Vec<u8>),
    /// All of it was there, unharmed.
    End(Totals),
}

/// Reads a backup from its beginning to its end, and checks it on the way. Only [`Item::End`] says that it is whole.
pub struct Decoder<R> {
    file: Framed<R>,
    totals: Totals,
    sha256: Sha256,
    /// The component that is being read, and the hash of what has come of it.
    component: Option<(Digest, Sha256)>,
}

impl<R: Read> Decoder<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is not that of a backup which this version reads.
    pub fn new(mut file: R) -> Result<Self, FileError> {
        let mut line = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut line)?;
        if line != MAGIC {
            let form = line.strip_prefix(ANY_FORM).map(|form| String::from_utf8_lossy(form).trim().to_owned());
            return Err(match form {
                Some(form) if line.len() == MAGIC.len() => FileError::Form(form),
                Some(_) => FileError::Cut { at: line.len() as u64 },
                None => FileError::Foreign,
            });
        }
        let totals = Totals { bytes: MAGIC.len() as u64, ..Totals::default() };
        let sha256 = Sha256::new_with_prefix(MAGIC);
        Ok(Self { file: Framed { file, at: MAGIC.len() as u64 }, totals, sha256, component: None })
    }

    /// Bytes read so far.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.file.at
    }

    /// The next piece. Not to be called again after the end or an error.
    ///
    /// # Errors
    /// See [`FileError`]; what came before may be as wrong as the rest.
    pub fn item(&mut self) -> Result<Item, FileError> {
        let at = self.file.at;
        let Some(Record { kind, head, mut content }) = self.file.next()? else { return Err(FileError::Cut { at }) };
        let damaged = |what| FileError::Damaged { at, what };
        if matches!(kind, Kind::Component | Kind::End) {
            self.component_ended(at)?;
        }
        if kind != Kind::End {
            self.sha256.update(head);
            self.sha256.update(&content);
            self.totals.bytes = self.file.at;
        }
        content.remove(0);
        match kind {
            Kind::Head => Ok(Item::Head(minicbor::decode(&content).map_err(|_| damaged("the head is not readable"))?)),
            Kind::Rows => {
                self.totals.rows += 1;
                Ok(Item::Rows(content))
            }
            Kind::Component => {
                let digest = Digest(content.try_into().map_err(|_| damaged("a component has no digest"))?);
                self.totals.components += 1;
                self.component = Some((digest, Sha256::new()));
                Ok(Item::Component(digest))
            }
            Kind::Part => {
                let (_, hash) = self.component.as_mut().ok_or_else(|| damaged("bytes of no component"))?;
                hash.update(&content);
                Ok(Item::Part(content))
            }
            Kind::GivenUp => Err(FileError::GivenUp(String::from_utf8_lossy(&content).into_owned())),
            Kind::End => {
                let end: EndRow = minicbor::decode(&content).map_err(|_| damaged("the end is not readable"))?;
                if end.totals != self.totals {
                    return Err(damaged("records are missing"));
                }
                if end.sha256 != <[u8; 32]>::from(std::mem::take(&mut self.sha256).finalize()) {
                    return Err(damaged("the checksum of the file does not fit"));
                }
                if self.file.file.read(&mut [0])? > 0 {
                    return Err(damaged("something follows the end"));
                }
                Ok(Item::End(self.totals))
            }
        }
    }

    fn component_ended(&mut self, at: u64) -> Result<(), FileError> {
        let Some((digest, hash)) = self.component.take() else { return Ok(()) };
        if digest.0 == <[u8; 32]>::from(hash.finalize()) {
            return Ok(());
        }
        Err(FileError::Damaged { at, what: "a component before it is not what its digest says" })
    }
}

impl<R> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// A record; the content still has its kind in front.
struct Record {
    kind: Kind,
    head: [u8; FRAME],
    content: Vec<u8>,
}

/// Records that follow each other.
struct Framed<R> {
    file: R,
    at: u64,
}

impl<R: Read> Framed<R> {
    /// The next record; none at the end.
    fn next(&mut self) -> Result<Option<Record>, FileError> {
        let at = self.at;
        let damaged = |what| FileError::Damaged { at, what };
        let mut head = [0; FRAME];
        if self.file.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.fill(&mut head[1..])?;
        let (length, checksum) = head.split_at(4);
        let length = length.try_into().map_or(u32::MAX, u32::from_le_bytes) as usize;
        if length == 0 || length > LONGEST {
            return Err(damaged("the length makes no sense"));
        }
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        let mut expected = crc32fast::Hasher::new();
        expected.update(&head[..4]);
        expected.update(&content);
        if expected.finalize().to_le_bytes() != checksum {
            return Err(damaged("the checksum does not fit"));
        }
        self.at += (FRAME + length) as u64;
        let kind = Kind::ALL.into_iter().find(|kind| Some(&kind.byte()) == content.first());
        Ok(Some(Record { kind: kind.ok_or_else(|| damaged("its kind is unknown"))?, head, content }))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FileError> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => FileError::Cut { at: self.at },
            // Whatever else the system has to say.
            _ => FileError::Io(error),
        })
    }
}

/// Reads a file of which [`frame_rows`] made every record, and hands over the content of each.
pub(super) fn read_rows(file: impl Read, mut take: impl FnMut(Vec<u8>) -> bool) -> Result<(), FileError> {
    let mut file = Framed { file, at: 0 };
    while let Some(Record { mut content, .. }) = file.next()? {
        content.remove(0);
        if !take(content) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { layout: "rows".into(), begun: 7, program: "1".into() }
    }

    fn written() -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut bytes = encoder.head(&head());
        bytes.extend(encoder.rows(b"one"));
        bytes.extend(encoder.rows(&[9; 300]));
        bytes.extend(encoder.component(Digest(Sha256::digest(b"component").into())));
        bytes.extend(encoder.part(b"compo"));
        bytes.extend(encoder.part(b"nent"));
        bytes.extend(encoder.end());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Item>, Totals), FileError> {
        let mut decoder = Decoder::new(bytes)?;
        let mut items = Vec::new();
        loop {
            match decoder.item()? {
                Item::End(totals) => return Ok((items, totals)),
                item => items.push(item),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (items, totals) = read(&written()).unwrap();
        assert_eq!((totals.rows, totals.components), (2, 1));
        assert!(matches!(&items[0], Item::Head(read) if *read == head()));
        assert!(matches!(&items[1], Item::Rows(rows) if rows == b"one"));
        assert!(matches!(&items[5], Item::Part(part) if part == b"nent"));
        assert_eq!(items.len(), 6);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_seen() {
        let whole = written();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        assert!(matches!(read(&[&whole[..], b"x"].concat()), Err(FileError::Damaged { .. })));
    }

    #[test]
    fn records_are_neither_left_out_nor_exchanged() {
        let mut encoder = Encoder::default();
        let (head, one, two) = (encoder.head(&head()), encoder.rows(b"one"), encoder.rows(b"two"));
        let end = encoder.end();
        assert!(read(&[&head[..], &one, &two, &end].concat()).is_ok());
        assert!(read(&[&head[..], &two, &one, &end].concat()).is_err());
        assert!(read(&[&head[..], &one, &end].concat()).is_err());
    }

    #[test]
    fn a_component_is_what_its_digest_says() {
        let mut encoder = Encoder::default();
        let mut bytes = encoder.head(&head());
        bytes.extend(encoder.component(Digest([7; 32])));
        bytes.extend(encoder.part(b"component"));
        bytes.extend(encoder.end());
        assert!(read(&bytes).unwrap_err().to_string().contains("digest"));
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(read(b""), Err(FileError::Foreign)));
        assert!(matches!(read(b"PK\x03\x04 and more of it than that"), Err(FileError::Foreign)));
        assert!(matches!(read(b"durawasm backup, form 9\n"), Err(FileError::Form(form)) if form == "9"));
        let mut given_up = Encoder::default().head(&head());
        given_up.extend(Encoder::given_up("the disk is full"));
        assert!(matches!(read(&given_up), Err(FileError::GivenUp(why)) if why == "the disk is full"));
    }
}
