//! The layout of sled's files, as far as reading them takes: sled 0.34, `pagecache/logger.rs`, `snapshot.rs` and
//! `serialization.rs` there. Every function takes any bytes and says nothing rather than panic.

/// Bytes of a segment's header: checksum, position in the log, and what was written before it.
pub(super) const SEGMENT_HEADER: usize = 20;
/// No message begins within so many bytes of a segment's end.
pub(super) const RED_ZONE: usize = 32;
/// The last page numbers stand for messages that belong to no page.
const PSEUDO_PAGES: u64 = u64::MAX - 1000;

/// The beginning of a segment: which part of the log it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SegmentHeader {
    /// The position in the log at which it begins.
    pub(super) lsn: u64,
    /// The position up to which sled had written everything when it began this segment. Written, not synced.
    pub(super) written: Option<u64>,
}

impl SegmentHeader {
    /// None: no header of a segment.
    pub(super) fn read(bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (fields, _) = rest.split_first_chunk::<16>()?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*checksum) ^ u32::MAX {
            return None;
        }
        let (lsn, rest) = fields.split_first_chunk::<8>()?;
        let written = rest.first_chunk::<8>()?;
        let lsn = u64::try_from(i64::from_le_bytes(*lsn) ^ i64::MAX).ok()?;
        let written = u64::try_from(i64::from_le_bytes(*written) ^ i64::MAX).ok();
        lsn.is_multiple_of(segment_bytes).then_some(Self { lsn, written })
    }
}

/// What a message does to its page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// The page as a whole.
    Replace,
    /// A change of the page.
    Link,
    /// The page is no longer used.
    Free,
}

/// One message of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Message<'a> {
    /// Something about a page.
    Page(u64, Effect, &'a [u8]),
    /// What follows, up to and including this position, counts as a whole or not at all.
    Batch(u64),
    /// Nothing.
    Canceled,
    /// Nothing follows in this segment.
    Cap,
}

impl<'a> Message<'a> {
    /// The message at this offset of a segment, and its length. None: there is none, or it is damaged, or it is a
    /// remainder of what the segment held before (`number`: which part of the log the segment holds).
    pub(super) fn read(segment: &'a [u8], at: usize, number: u64) -> Option<(Self, usize)> {
        Self::read_if(segment, at, |found| found == number)
    }

    /// The same for any part of the log whose number is accepted.
    pub(super) fn read_if(segment: &'a [u8], at: usize, accept: impl Fn(u64) -> bool) -> Option<(Self, usize)> {
        let bytes = segment.get(at..)?;
        let checksum = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
        let kind = *bytes.get(4)?;
        if !(1..=11).contains(&kind) {
            return None;
        }
        let mut rest = Reader(bytes.get(5..)?);
        let length = usize::try_from(rest.varint()?).ok()?;
        if !accept(rest.varint()?) {
            return None;
        }
        let page = rest.varint()?;
        let header = bytes.len() - rest.0.len();
        let body = rest.0.get(..length)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(body);
        hasher.update(&bytes[4..header]);
        if hasher.finalize() ^ u32::MAX != checksum {
            return None;
        }
        let message = match kind {
            1 => Self::Canceled,
            2 => Self::Cap,
            3 => Self::Batch(u64::from_le_bytes(*body.first_chunk::<8>()?)),
            4 if page < PSEUDO_PAGES => Self::Page(page, Effect::Free, body),
            5..=9 if page < PSEUDO_PAGES => Self::Page(page, Effect::Replace, body),
            10 | 11 if page < PSEUDO_PAGES => Self::Page(page, Effect::Link, body),
            _ => return None,
        };
        Some((message, header + length))
    }
}

/// The value that a change of a page gives to this key, if that is what it does.
pub(super) fn link_value<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut link = Reader(body);
    (link.byte()? == 0 && link.bytes()? == key).then(|| link.bytes())?
}

/// For a whole page: whether it is the first page of rows, and the value that it has for this key.
pub(super) fn first_leaf_value<'a>(body: &'a [u8], key: &[u8]) -> Option<Option<&'a [u8]>> {
    let mut node = Reader(body);
    let (_next, _merging_child, _merging, prefix) = (node.varint()?, node.varint()?, node.byte()?, node.byte()?);
    let (low, _high) = (node.bytes()?, node.bytes()?);
    if !low.is_empty() || prefix != 0 || node.byte()? != 0 {
        return None;
    }
    let count = node.varint()?;
    let mut place = None;
    for index in 0..count {
        if node.bytes()? == key {
            place = Some(index);
        }
    }
    let Some(place) = place else { return Some(None) };
    for _ in 0..place {
        node.bytes()?;
    }
    node.bytes().map(Some)
}

/// One place of the log that a page consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) page: u64,
    pub(super) lsn: u64,
    /// In bytes from the beginning of the file.
    pub(super) offset: u64,
}

/// What sled knew when it was last opened: where every page was.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// The log up to here is included.
    pub(super) lsn: u64,
    /// True: the log went on in the middle of the segment that holds `lsn`.
    pub(super) within_segment: bool,
    pub(super) pages: u64,
    pub(super) places: Vec<Place>,
}

impl Snapshot {
    /// None: it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (rest, checksum) = bytes.split_last_chunk::<4>()?;
        let (rest, _length) = rest.split_last_chunk::<8>()?;
        if rest.is_empty() || crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = Reader(rest);
        let lsn = u64::try_from(rest.fixed()?.max(1) - 1).ok()?;
        let mut snapshot = Self { lsn, within_segment: rest.varint()? != 0, ..Self::default() };
        while !rest.0.is_empty() {
            let (places, sized) = match rest.byte()? {
                0 => (1, false),
                places => (places, true),
            };
            for _ in 0..places {
                let lsn = u64::try_from(rest.fixed()?).ok()?;
                let blob = rest.byte()? != 0;
                let offset = rest.varint()?;
                if blob {
                    rest.fixed()?;
                }
                if sized {
                    rest.varint()?;
                }
                snapshot.places.push(Place { page: snapshot.pages, lsn, offset });
            }
            snapshot.pages += 1;
        }
        Some(snapshot)
    }
}

/// Takes sled's serialization apart.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn fixed(&mut self) -> Option<i64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(i64::from_le_bytes(*bytes))
    }

    fn varint(&mut self) -> Option<u64> {
        let first = u64::from(self.byte()?);
        match first {
            0..=240 => Some(first),
            241..=248 => Some(240 + 256 * (first - 241) + u64::from(self.byte()?)),
            249 => Some(2288 + 256 * u64::from(self.byte()?) + u64::from(self.byte()?)),
            250.. => {
                let mut bytes = [0; 8];
                let taken = self.take(usize::try_from(first - 247).ok()?)?;
                bytes.get_mut(..taken.len())?.copy_from_slice(taken);
                Some(u64::from_le_bytes(bytes))
            }
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }
}
