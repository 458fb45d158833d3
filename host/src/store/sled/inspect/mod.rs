//! A look at sled's files before sled opens them. sled repairs in silence: behind a damaged message it drops the rest
//! of a segment, or of the log, and writes over it. So everything that sled would read is checked here first, and
//! nothing is changed: each message of the log since the last opening, and each place that a page had then and still
//! has.
//!
//! Behind the last sync anything may be missing or torn after a power cut, segments in the middle included. sled takes
//! what was written for what was synced and would then apply the end of a batch without its beginning. So the check
//! finds the longest beginning of the log without a gap; whether all that was acknowledged is in it, the promised
//! sequence number says. If so, the rest was never acknowledged and its segments are [put aside](Finding::put_aside).

mod ahead;
mod format;
mod pages;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use self::format::{Message, Place, RED_ZONE, SEGMENT_HEADER, SegmentHeader, Snapshot};
use self::pages::{Change, Pages, Seen};
use super::encoding::MetaRow;
use super::open::SEGMENT_BYTES;

const SEGMENT: u64 = SEGMENT_BYTES as u64;

/// Segments behind a gap that a power cut can explain: what sled writes of one journal, and what it rewrites meanwhile,
/// while its threads are still about it.
const UNSYNCED_SEGMENTS: usize = 64;

/// What the files hold.
#[derive(Debug)]
pub(super) struct Finding {
    /// The state of the store that sled will come to.
    pub(super) meta: MetaRow,
    /// Where the segments lie that were written behind a gap, in bytes from the beginning of `db`.
    aside: Vec<u64>,
    /// Damage in what was there when the store was last opened, or behind which more lies than a sync leaves out.
    pub(super) damage: Option<String>,
    /// Where the log cannot be read any further, if more follows there.
    pub(super) gap: Option<u64>,
    /// Each segment of the log was read, from the snapshot to where it ends. Otherwise some that are missing may have had
    /// what the rest was moved from: that is in order only if nothing durable lay behind the end.
    pub(super) complete: bool,
    /// What it ends with.
    pub(super) last: Last,
}

/// What the newest change of the pages is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Last {
    /// None since the snapshot.
    #[default]
    Snapshot,
    /// A new row about the store, which each batch writes last.
    Batch,
    /// Any other: there may be a part of a batch. Or it was sled's own, which moves pages at any time.
    Other,
}

impl Finding {
    /// Makes sled see the log end where its longest beginning without a gap ends. To be called when everything
    /// acknowledged is in there.
    ///
    /// # Errors
    /// When writing fails.
    pub(super) fn put_aside(&self, directory: &Path) -> io::Result<()> {
        if self.aside.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            segments = self.aside.len(),
            "the end of the log is torn, as after a power cut; what was never acknowledged is left out"
        );
        let log = File::options().write(true).open(directory.join("db"))?;
        for &offset in &self.aside {
            log.write_all_at(&[0; SEGMENT_HEADER], offset)?;
        }
        log.sync_data()
    }
}

/// Checks the files in a data directory, and changes none.
///
/// # Errors
/// When a file cannot be read. Damage is no error but a finding.
pub(super) fn inspect(directory: &Path) -> io::Result<Finding> {
    let nothing = |damage| Finding {
        meta: MetaRow { sequence: 0, next_number: 1, last_mail: None },
        aside: Vec::new(),
        damage,
        gap: None,
        complete: true,
        last: Last::Snapshot,
    };
    let snapshot = match newest_snapshot(directory)? {
        None => Snapshot::default(),
        Some((name, bytes)) => match Snapshot::read(&bytes) {
            Some(snapshot) => snapshot,
            None => return Ok(nothing(Some(format!("the file '{name}' fails its checksum")))),
        },
    };
    let log = match File::open(directory.join("db")) {
        Ok(file) => Log::new(file, snapshot.lsn)?,
        Err(error) if error.kind() == ErrorKind::NotFound && snapshot.places.is_empty() => return Ok(nothing(None)),
        Err(error) => return Err(error),
    };
    // The longest beginning whose segments follow each other and can be read; none: only what the snapshot holds.
    let mut last = log.longest(log.segments.len());
    let (mut pages, mut end);
    loop {
        pages = Pages::new(&snapshot);
        end = log.replay(last, &mut pages)?;
        let read = end.map_or(0, |end| end.segment + 1);
        if read == last {
            break;
        }
        last = log.longest(read);
        if last == read {
            break;
        }
    }
    pages.end(end.map_or(0, |end| end.lsn));
    let damage = match log.damage_below(&snapshot, end) {
        Some(damage) => Some(damage),
        None => log.check_places(&snapshot, &mut pages)?.or_else(|| pages.damage()),
    };
    let aside: Vec<_> = log.segments.iter().skip(last).map(|segment| segment.offset).collect();
    let gap = end.filter(|_| !aside.is_empty()).map(|end| log.segments[end.segment].offset + end.lsn % SEGMENT);
    let damage = damage.or_else(|| {
        let offset = gap.unwrap_or_default();
        (aside.len() > UNSYNCED_SEGMENTS).then(|| {
            format!("the file 'db' cannot be read at byte {offset}, with {} more segments behind it", aside.len())
        })
    });
    let complete = end.is_none_or(|end| end.complete);
    Ok(Finding { meta: pages.meta(), aside, damage, gap, complete, last: pages.last() })
}

/// The snapshot that sled will read, with its name.
fn newest_snapshot(directory: &Path) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut newest: Option<(String, Vec<u8>)> = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("snap.") || newest.as_ref().is_some_and(|(newest, _)| *newest > name) {
            continue;
        }
        let bytes = fs::read(entry.path())?;
        if !name.ends_with(UNFINISHED) || Snapshot::read(&bytes).is_some() {
            newest = Some((name, bytes));
        }
    }
    Ok(newest)
}

/// What sled appends to the name of a snapshot until it has synced it.
const UNFINISHED: &str = ".generating";

/// Brings snapshots to the state that sled relies on. It never syncs the directory: after a power cut, a snapshot that
/// it had finished may have its former name, while segments that are free by that snapshot are already cleared. And a
/// process that ends while it writes one leaves a part, which sled would take for its newest and refuse to open.
///
/// # Errors
/// When the directory cannot be read or changed.
pub(super) fn finish_snapshots(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(finished) = name.strip_suffix(UNFINISHED).filter(|name| name.starts_with("snap.")) else { continue };
        if Snapshot::read(&fs::read(entry.path())?).is_some() {
            fs::rename(entry.path(), directory.join(finished))?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    File::open(directory)?.sync_all()
}

/// A segment that sled will read from its beginning.
#[derive(Clone, Copy, Debug)]
struct Segment {
    lsn: u64,
    offset: u64,
    written: u64,
}

/// What a segment holds.
#[derive(Debug)]
struct ReadSegment {
    /// The messages, each with where it begins and its length.
    seen: Vec<(Seen, usize, usize)>,
    /// Where they end.
    end: usize,
    /// False: what follows there is no message.
    readable: bool,
    /// It is not, because the segment is about to become another one. Not asked about the last.
    overwritten: bool,
}

/// Where reading ended.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Index of the segment.
    segment: usize,
    lsn: u64,
    /// No segment before it is missing.
    complete: bool,
}

/// The file `db`.
struct Log {
    file: File,
    /// The segments that the snapshot does not cover wholly, in the order of the log.
    segments: Vec<Segment>,
    /// The first position that belongs to them.
    from: u64,
}

impl Log {
    fn new(file: File, snapshot_lsn: u64) -> io::Result<Self> {
        let from = snapshot_lsn / SEGMENT * SEGMENT;
        let mut segments = BTreeMap::new();
        for offset in (0..file.metadata()?.len()).step_by(SEGMENT_BYTES) {
            let mut header = [0; SEGMENT_HEADER];
            let length = read_at(&file, &mut header, offset)?;
            let Some(header) = SegmentHeader::read(&header[..length], SEGMENT) else { continue };
            if header.lsn >= from {
                let written = header.written.unwrap_or(0);
                segments.insert(header.lsn, Segment { lsn: header.lsn, offset, written });
            }
        }
        Ok(Self { file, segments: segments.into_values().collect(), from })
    }

    /// How many of the first `limit` segments make a log that sled reads to its end: from where the headers say that
    /// everything was written, none is missing.
    fn longest(&self, limit: usize) -> usize {
        let follows = |count: &usize| {
            let segments = &self.segments[..*count];
            let written = segments.iter().fold(self.from, |written, segment| written.max(segment.written));
            let first = written / SEGMENT * SEGMENT;
            let mut tail = segments.iter().map(|segment| segment.lsn).filter(|lsn| *lsn >= first).zip(0..).peekable();
            tail.peek().is_some() && tail.all(|(lsn, index)| lsn == first + index * SEGMENT)
        };
        (1..=limit).rev().find(follows).unwrap_or(0)
    }

    /// Reads the first `count` segments, up to the first message that cannot be read. None: there are none.
    fn replay(&self, count: usize, pages: &mut Pages) -> io::Result<Option<End>> {
        let (mut end, mut complete, mut next, mut index) = (None, true, self.from, 0);
        let segments = &self.segments[..count];
        let take = |read: ReadSegment| {
            let segment = segments[index];
            for (seen, at, length) in read.seen {
                pages.take(seen, segment.lsn + at as u64, length as u64);
            }
            complete &= segment.lsn == next;
            next = segment.lsn + SEGMENT;
            end = Some(End { segment: index, lsn: segment.lsn + read.end as u64, complete });
            index += 1;
            if !read.readable && index < count {
                if !read.overwritten {
                    return ControlFlow::Break(());
                }
                complete = false;
            }
            ControlFlow::Continue(())
        };
        let last = segments.last().map_or(0, |segment| segment.lsn);
        let read = |segment: &Segment, buffer: &mut [u8]| self.read(*segment, segment.lsn == last, buffer);
        ahead::in_order(segments, |segment| self.announce(segment.offset), read, take)?;
        Ok(end)
    }

    /// The segment of this place in the file will be read soon. That nobody heeds it has no consequence but time.
    #[cfg(target_os = "linux")]
    fn announce(&self, offset: u64) {
        use rustix::fs::{Advice, fadvise};

        let _unheeded = fadvise(&self.file, offset / SEGMENT * SEGMENT, NonZeroU64::new(SEGMENT), Advice::WillNeed);
    }

    #[cfg(not(target_os = "linux"))]
    fn announce(&self, _offset: u64) {}

    /// Reads a segment, up to the first message that cannot be read.
    fn read(&self, segment: Segment, is_last: bool, buffer: &mut [u8]) -> io::Result<ReadSegment> {
        let length = read_at(&self.file, buffer, segment.offset)?;
        let (bytes, number) = (&buffer[..length], segment.lsn / SEGMENT);
        let mut read = ReadSegment { seen: Vec::new(), end: SEGMENT_HEADER, readable: true, overwritten: false };
        while read.end <= SEGMENT_BYTES - RED_ZONE {
            let Some((message, length)) = Message::read(bytes, read.end, number) else {
                read.readable = false;
                read.overwritten = !is_last && self.is_overwritten(bytes, read.end);
                break;
            };
            if message == Message::Cap {
                break;
            }
            read.seen.push((Seen::of(message), read.end, length));
            read.end += length;
        }
        Ok(read)
    }

    /// True: the segment was free and sled had begun to fill it anew, its end before its beginning.
    fn is_overwritten(&self, bytes: &[u8], from: usize) -> bool {
        let newest = self.segments.last().map_or(0, |segment| segment.lsn / SEGMENT);
        let next = newest + 1..=newest + UNSYNCED_SEGMENTS as u64;
        (from..bytes.len()).any(|at| Message::read_if(bytes, at, |number| next.contains(&number)).is_some())
    }

    /// Damage before the position that the snapshot includes.
    fn damage_below(&self, snapshot: &Snapshot, end: Option<End>) -> Option<String> {
        match (self.segments.first(), end) {
            (_, None) if snapshot.within_segment => {
                Some("the segment of the file 'db' that was written last is missing".to_owned())
            }
            (Some(first), Some(end)) if first.lsn == self.from && end.lsn < snapshot.lsn => {
                Some(format!("the file 'db' cannot be read at byte {}", first.offset + end.lsn % SEGMENT))
            }
            (None | Some(_), _) => None,
        }
    }

    /// Reads the places that pages had when the snapshot was made and still have.
    fn check_places(&self, snapshot: &Snapshot, pages: &mut Pages) -> io::Result<Option<String>> {
        let below = |place: &&Place| place.lsn < self.from;
        let mut places: Vec<_> =
            snapshot.places.iter().filter(below).filter(|place| !pages.is_replaced(place.page)).collect();
        places.sort_unstable_by_key(|place| place.offset);
        let mut bad = Vec::new();
        let read = |in_segment: &&[&Place], buffer: &mut [u8]| {
            let length = read_at(&self.file, buffer, in_segment[0].offset / SEGMENT * SEGMENT)?;
            let found = |place: &&Place| {
                let at = usize::try_from(place.offset % SEGMENT).unwrap_or(usize::MAX);
                match Message::read(&buffer[..length], at, place.lsn / SEGMENT) {
                    Some((Message::Page(page, effect, body), _)) if page == place.page => {
                        Ok(Change::of(page, effect, body))
                    }
                    Some(_) | None => Err(place.offset),
                }
            };
            Ok(in_segment.iter().map(found).collect::<Vec<_>>())
        };
        let take = |found: Vec<Result<Change, u64>>| {
            for change in found {
                match change {
                    Ok(change) => pages.note(&change),
                    Err(offset) => bad.push(offset),
                }
            }
            ControlFlow::Continue(())
        };
        let segments: Vec<_> = places.chunk_by(|a, b| a.offset / SEGMENT == b.offset / SEGMENT).collect();
        ahead::in_order(&segments, |segment| self.announce(segment[0].offset), read, take)?;
        Ok(bad.first().map(|offset| {
            format!("{} pages of rows in the file 'db' cannot be read, the first at byte {offset}", bad.len())
        }))
    }
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
