//! The keys of the rows. One byte says which kind of row it is; what follows is ordered such that every question is
//! one range scan. Numbers are big-endian, so that bytes sort as numbers do.

use durawasm_core::{TaskId, Timestamp};

use crate::store::{HubName, InstanceNumber, MailId, ScheduleKey, StoreError, TimerRow};

/// The one row about the store as a whole.
pub(super) const META: &[u8] = b"!";

const APP: u8 = b'a';
const CHILD: u8 = b'b';
const CREATED: u8 = b'c';
const GARBAGE: u8 = b'g';
const HISTORY: u8 = b'h';
const INSTANCE: u8 = b'i';
const COUNT: u8 = b'k';
const NUMBER: u8 = b'm';
const MAIL: u8 = b'o';
const PIECE: u8 = b'p';
const MAIL_PART: u8 = b'q';
const READY: u8 = b'r';
const STATUS: u8 = b's';
const TIMER: u8 = b't';
const SCHEDULE: u8 = b'w';
const HUB: u8 = b'u';
const USAGE: u8 = b'v';
const SLOT: u8 = b'y';

/// Keys from the first up to, but not including, the second.
pub(super) type KeyRange = (Vec<u8>, Vec<u8>);

/// Builds keys by appending their parts.
struct Key(Vec<u8>);

impl Key {
    fn new(kind: u8) -> Self {
        let mut key = Vec::with_capacity(32);
        key.push(kind);
        Self(key)
    }

    fn u64(mut self, part: u64) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    fn u32(mut self, part: u32) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    fn u8(mut self, part: u8) -> Self {
        self.0.push(part);
        self
    }

    /// With its length in front: no name is then the beginning of another.
    fn name(mut self, part: &str) -> Self {
        self.0.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(part.as_bytes());
        self
    }

    /// Seconds with the sign bit turned, then nanoseconds of the second counted forward: sorts as time does.
    fn time(self, at: Timestamp) -> Self {
        let nanoseconds = at.as_nanosecond();
        let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0);
        self.u64(seconds.cast_unsigned() ^ (1 << 63)).u32(rest)
    }
}

/// The rows that begin with these bytes.
fn all(prefix: Key) -> KeyRange {
    let mut end = prefix.0.clone();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    (prefix.0, end)
}

/// Hub and id to number.
pub(super) fn number(hub: &str, id: &str) -> Vec<u8> {
    let mut key = Key::new(NUMBER).name(hub);
    key.0.extend_from_slice(id.as_bytes());
    key.0
}

pub(super) fn instance(number: u64) -> Vec<u8> {
    Key::new(INSTANCE).u64(number).0
}

/// The ids of a hub that begin with these characters.
pub(super) fn numbers(hub: &str, prefix: &str) -> KeyRange {
    let mut key = Key::new(NUMBER).name(hub);
    key.0.extend_from_slice(prefix.as_bytes());
    all(key)
}

/// What a hub has used and stores.
pub(super) fn usage(hub: &str) -> Vec<u8> {
    Key::new(USAGE).name(hub).0
}

/// An index whose rows lie in the order of lists: by time of creation, then by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ordered(Vec<u8>);

impl Ordered {
    /// All instances of one orchestrator.
    pub(super) fn created(hub: &str, name: &str) -> Self {
        Self(Key::new(CREATED).name(hub).name(name).0)
    }

    /// Instances of one class of statuses; see [`super::index`].
    pub(super) fn status(hub: &str, class: u8) -> Self {
        Self(Key::new(STATUS).name(hub).u8(class).0)
    }

    fn time(&self, at: Timestamp) -> Key {
        Key(self.0.clone()).time(at)
    }

    /// The row of one instance.
    pub(super) fn row(&self, at: Timestamp, id: &str) -> Vec<u8> {
        let mut key = self.time(at);
        key.0.extend_from_slice(id.as_bytes());
        key.0
    }

    /// All rows.
    pub(super) fn all(&self) -> KeyRange {
        all(Key(self.0.clone()))
    }

    /// The first key of this moment or later.
    pub(super) fn from(&self, at: Timestamp) -> Vec<u8> {
        self.time(at).0
    }

    /// The first key after all rows of this moment.
    pub(super) fn after(&self, at: Timestamp) -> Vec<u8> {
        all(self.time(at)).1
    }

    /// Time and id of a row's key.
    pub(super) fn parts<'a>(&self, key: &'a [u8]) -> Result<(Timestamp, &'a str), StoreError> {
        let mut parts = Parts(key.get(self.0.len()..).unwrap_or_default());
        let at = parts.time()?;
        let id = std::str::from_utf8(parts.0)
            .map_err(|_| StoreError::Corrupt("the id in the key of an index row is not UTF-8".into()))?;
        Ok((at, id))
    }
}

/// How many instances an orchestrator has.
pub(super) fn count(hub: &str, name: &str) -> Vec<u8> {
    let mut key = Key::new(COUNT).name(hub);
    key.0.extend_from_slice(name.as_bytes());
    key.0
}

/// All of a hub.
pub(super) fn counts(hub: &str) -> KeyRange {
    all(Key::new(COUNT).name(hub))
}

/// The orchestrator's name in a count row's key.
pub(super) fn count_name<'a>(hub: &str, key: &'a [u8]) -> Result<&'a str, StoreError> {
    std::str::from_utf8(key.get(5 + hub.len()..).unwrap_or_default())
        .map_err(|_| StoreError::Corrupt("the name in the key of a count is not UTF-8".into()))
}

/// An instance that was created as the child of another.
pub(super) fn child(hub: &str, parent: &str, number: u64) -> Vec<u8> {
    Key::new(CHILD).name(hub).name(parent).u64(number).0
}

/// The children of a parent with numbers after this one.
pub(super) fn children(hub: &str, parent: &str, after: InstanceNumber) -> KeyRange {
    let (_, end) = all(Key::new(CHILD).name(hub).name(parent));
    (child(hub, parent, after.0.saturating_add(1)), end)
}

/// The number at the end of a child row's key.
pub(super) fn child_number(key: &[u8]) -> Result<InstanceNumber, StoreError> {
    Ok(InstanceNumber(Parts(key.get(key.len().saturating_sub(8)..).unwrap_or_default()).u64()?))
}

pub(super) fn ready(number: u64) -> Vec<u8> {
    Key::new(READY).u64(number).0
}

/// The ready rows after this number.
pub(super) fn ready_after(after: Option<InstanceNumber>) -> KeyRange {
    let (_, end) = all(Key::new(READY));
    (ready(after.map_or(0, |number| number.0.saturating_add(1))), end)
}

/// The number at the end of a ready row's key.
pub(super) fn ready_number(key: &[u8]) -> Result<InstanceNumber, StoreError> {
    let mut parts = Parts(key.get(1..).unwrap_or_default());
    Ok(InstanceNumber(parts.u64()?))
}

/// The events of one commit.
pub(super) fn history(number: u64, revision: u64) -> Vec<u8> {
    Key::new(HISTORY).u64(number).u64(revision).0
}

/// The history rows of an instance from one revision up to, but not including, another.
pub(super) fn histories(number: u64, from: u64, until: u64) -> KeyRange {
    (history(number, from), history(number, until))
}

pub(super) fn all_history(number: u64) -> KeyRange {
    all(Key::new(HISTORY).u64(number))
}

/// One chunk of a large value that the commit with this revision wrote.
pub(super) fn chunk(number: u64, revision: u64, piece: u32, chunk: u32) -> Vec<u8> {
    Key::new(PIECE).u64(number).u64(revision).u32(piece).u32(chunk).0
}

/// All chunks of one large value.
pub(super) fn chunks(number: u64, revision: u64, piece: u32) -> KeyRange {
    all(Key::new(PIECE).u64(number).u64(revision).u32(piece))
}

/// All chunks that one commit wrote.
pub(super) fn chunks_of_commit(number: u64, revision: u64) -> KeyRange {
    all(Key::new(PIECE).u64(number).u64(revision))
}

/// All chunks written before the commit with this revision.
pub(super) fn chunks_before(number: u64, revision: u64) -> KeyRange {
    (Key::new(PIECE).u64(number).0, Key::new(PIECE).u64(number).u64(revision).0)
}

pub(super) fn all_chunks(number: u64) -> KeyRange {
    all(Key::new(PIECE).u64(number))
}

/// Revision and piece of a chunk's key.
pub(super) fn chunk_piece(key: &[u8]) -> Result<(u64, u32), StoreError> {
    let mut parts = Parts(key.get(9..).unwrap_or_default());
    Ok((parts.u64()?, parts.u32()?))
}

/// One payload of an instance: input, output or custom status.
pub(super) fn slot(number: u64, slot: u8) -> Vec<u8> {
    Key::new(SLOT).u64(number).u8(slot).0
}

pub(super) fn all_slots(number: u64) -> KeyRange {
    all(Key::new(SLOT).u64(number))
}

pub(super) fn timer(row: &TimerRow) -> Vec<u8> {
    Key::new(TIMER).time(row.due).u64(row.number.0).u32(row.task.0).0
}

/// The timers due up to and including this moment.
pub(super) fn timers_until(until: Timestamp) -> KeyRange {
    (vec![TIMER], all(Key::new(TIMER).time(until)).1)
}

/// The timers after this one.
pub(super) fn timers_after(after: Option<TimerRow>) -> KeyRange {
    let (from, until) = all(Key::new(TIMER));
    (after.map_or(from, |row| all(Key(timer(&row))).1), until)
}

/// The timer that a key says.
pub(super) fn timer_row(key: &[u8]) -> Result<TimerRow, StoreError> {
    let mut parts = Parts(key.get(1..).unwrap_or_default());
    let due = parts.time()?;
    Ok(TimerRow { due, number: InstanceNumber(parts.u64()?), task: TaskId(parts.u32()?) })
}

/// A message between instances.
pub(super) fn mail(id: u64) -> Vec<u8> {
    Key::new(MAIL).u64(id).0
}

/// The messages after this number.
pub(super) fn mail_after(after: Option<MailId>) -> KeyRange {
    let (_, end) = all(Key::new(MAIL));
    (mail(after.map_or(0, |id| id.0.saturating_add(1))), end)
}

/// The number of a message's key.
pub(super) fn mail_id(key: &[u8]) -> Result<MailId, StoreError> {
    Parts(key.get(1..).unwrap_or_default()).u64().map(MailId)
}

/// One part of a large message.
pub(super) fn mail_part(id: u64, part: u32) -> Vec<u8> {
    Key::new(MAIL_PART).u64(id).u32(part).0
}

pub(super) fn all_mail_parts(id: u64) -> KeyRange {
    all(Key::new(MAIL_PART).u64(id))
}

/// Rows still to be removed; see [`super::collect`].
pub(super) fn garbage(number: u64, kind: u8, revision: u64, piece: u32) -> Vec<u8> {
    Key::new(GARBAGE).u64(number).u8(kind).u64(revision).u32(piece).0
}

pub(super) fn all_garbage() -> KeyRange {
    all(Key::new(GARBAGE))
}

/// Number, kind, revision and piece of a garbage row's key.
pub(super) fn garbage_parts(key: &[u8]) -> Result<(u64, u8, u64, u32), StoreError> {
    let mut parts = Parts(key.get(1..).unwrap_or_default());
    Ok((parts.u64()?, parts.u8()?, parts.u64()?, parts.u32()?))
}

fn app_prefix(hub: &str, name: &str) -> Key {
    Key::new(APP).name(hub).name(name)
}

/// One chunk of an app's record.
pub(super) fn app(hub: &str, name: &str, chunk: u32) -> Vec<u8> {
    app_prefix(hub, name).u32(chunk).0
}

/// The chunks of one app's record.
pub(super) fn app_chunks(hub: &str, name: &str) -> KeyRange {
    all(app_prefix(hub, name))
}

pub(super) fn all_apps() -> KeyRange {
    all(Key::new(APP))
}

/// One chunk of a hub's record.
pub(super) fn hub(name: &str, chunk: u32) -> Vec<u8> {
    Key::new(HUB).name(name).u32(chunk).0
}

/// The chunks of one hub's record.
pub(super) fn hub_chunks(name: &str) -> KeyRange {
    all(Key::new(HUB).name(name))
}

pub(super) fn all_hubs() -> KeyRange {
    all(Key::new(HUB))
}

/// The part of a chunk's key that all chunks of a record share: of an app's or of a hub's.
pub(super) fn record_of_chunk(key: &[u8]) -> &[u8] {
    &key[..key.len().saturating_sub(4)]
}

/// Where a timer function is in its schedule.
pub(super) fn schedule(key: &ScheduleKey) -> Vec<u8> {
    Key::new(SCHEDULE).name(&key.hub).name(&key.app).name(&key.function).0
}

pub(super) fn all_schedules() -> KeyRange {
    all(Key::new(SCHEDULE))
}

/// The timer function that a key says.
pub(super) fn schedule_key(key: &[u8]) -> Result<ScheduleKey, StoreError> {
    let mut parts = Parts(key.get(1..).unwrap_or_default());
    let hub = HubName::from(parts.name()?);
    Ok(ScheduleKey { hub, app: parts.name()?.to_owned(), function: parts.name()?.to_owned() })
}

/// Takes a key apart again.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        match self.0.split_first_chunk::<N>() {
            Some((part, rest)) => {
                self.0 = rest;
                Ok(*part)
            }
            None => Err(StoreError::Corrupt("a key is shorter than its kind of row allows".into())),
        }
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.take().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u8(&mut self) -> Result<u8, StoreError> {
        self.take().map(u8::from_be_bytes)
    }

    fn name(&mut self) -> Result<&str, StoreError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let Some((name, rest)) = self.0.split_at_checked(length) else {
            return Err(StoreError::Corrupt("a name in a key is longer than the key".into()));
        };
        self.0 = rest;
        std::str::from_utf8(name).map_err(|_| StoreError::Corrupt("a name in a key is not UTF-8".into()))
    }

    fn time(&mut self) -> Result<Timestamp, StoreError> {
        let seconds = (self.u64()? ^ (1 << 63)).cast_signed();
        let rest = self.u32()?;
        Timestamp::from_nanosecond(i128::from(seconds) * 1_000_000_000 + i128::from(rest))
            .map_err(|error| StoreError::Corrupt(format!("the time in a key is out of range: {error}")))
    }
}
