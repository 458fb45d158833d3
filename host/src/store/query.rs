//! Asking for many instances: filters, pages, counts.

use std::collections::BTreeMap;

use durawasm_core::{InstanceId, Status, Timestamp};

use super::model::{InstanceRecord, Payloads};

/// Index rows that one page examines at most: whatever is asked, an answer takes a few milliseconds.
pub const EXAMINED: usize = 2_000;

/// Which instances are meant. What is not set admits all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Created at this moment or later.
    pub created_from: Option<Timestamp>,
    /// Created at this moment or earlier.
    pub created_to: Option<Timestamp>,
    /// Last changed at this moment or earlier.
    pub updated_to: Option<Timestamp>,
    /// In one of these; empty: in any status.
    pub statuses: Vec<Status>,
    /// Of exactly this orchestrator.
    pub name: Option<String>,
    /// With an id that begins like this.
    pub id_prefix: Option<String>,
}

impl Filter {
    /// Whether an instance is meant.
    #[must_use]
    pub fn admits(&self, record: &InstanceRecord) -> bool {
        self.admits_place(record.created, &record.id)
            && self.updated_to.is_none_or(|to| record.updated <= to)
            && (self.statuses.is_empty() || self.statuses.contains(&record.status))
            && self.name.as_ref().is_none_or(|name| *name == record.name)
    }

    /// The part of the question that needs no record.
    pub(crate) fn admits_place(&self, created: Timestamp, id: &str) -> bool {
        self.created_from.is_none_or(|from| created >= from)
            && self.created_to.is_none_or(|to| created <= to)
            && self.id_prefix.as_ref().is_none_or(|prefix| id.starts_with(prefix.as_str()))
    }
}

/// A place in the order of lists: by time of creation, then by the bytes of the id. It stays where it is whatever is
/// started or purged, and need not be the place of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the instance was created.
    pub created: Timestamp,
    /// Its id.
    pub id: InstanceId,
}

/// The form of tokens that this version writes.
const TOKEN_FORM: u8 = 1;

impl Position {
    /// The place as text for somebody who wants to go on from here; only [`Position::from_token`] knows what it means.
    #[must_use]
    pub fn to_token(&self) -> String {
        let time = self.created.as_nanosecond().to_be_bytes();
        hex::encode([&[TOKEN_FORM], time.as_slice(), self.id.as_bytes()].concat())
    }

    /// The place that a token means; none: no version of ours has written it.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        let bytes = hex::decode(token.trim()).ok()?;
        let (time, id) = bytes.strip_prefix(&[TOKEN_FORM])?.split_first_chunk::<16>()?;
        let created = Timestamp::from_nanosecond(i128::from_be_bytes(*time)).ok()?;
        Some(Self { created, id: InstanceId::from(std::str::from_utf8(id).ok()?) })
    }
}

/// A question for one page.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Which instances.
    pub filter: Filter,
    /// Those after this place; none: from the beginning.
    pub after: Option<Position>,
    /// Instances at most; none is taken for one.
    pub limit: usize,
}

/// A page of a list. It may be short, even empty, and still have a next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In the order of [`Position`].
    pub records: Vec<InstanceRecord>,
    /// Where to go on; none: that was all.
    pub next: Option<Position>,
}

/// How many instances have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts([u64; Status::ALL.len()]);

impl StatusCounts {
    /// How many have this status.
    #[must_use]
    pub fn get(&self, status: Status) -> u64 {
        self.0[status as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        Status::ALL.into_iter().filter(|status| !status.is_terminal()).map(|status| self.get(status)).sum()
    }

    /// So many more (or fewer) have this status; never fewer than none.
    pub(crate) fn add(&mut self, status: Status, difference: i64) {
        let count = &mut self.0[status as usize];
        *count = count.saturating_add_signed(difference);
    }
}

/// How many instances a hub has, by orchestrator; orchestrators without instances are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the orchestrator's name.
    pub by_name: BTreeMap<String, StatusCounts>,
}

impl Counts {
    /// All orchestrators together.
    #[must_use]
    pub fn all(&self) -> StatusCounts {
        let mut all = StatusCounts::default();
        for counts in self.by_name.values() {
            for status in Status::ALL {
                all.add(status, i64::try_from(counts.get(status)).unwrap_or(i64::MAX));
            }
        }
        all
    }
}

/// Which payloads to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadParts {
    /// See [`Payloads::input`].
    pub input: bool,
    /// See [`Payloads::output`].
    pub output: bool,
    /// See [`Payloads::custom_status`].
    pub custom_status: bool,
}

impl PayloadParts {
    /// All of them.
    pub const ALL: Self = Self { input: true, output: true, custom_status: true };
}

/// A record and payloads that belong to it.
pub type Snapshot = (InstanceRecord, Payloads);
