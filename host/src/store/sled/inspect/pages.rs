//! What the messages of the log make of the pages.

use std::collections::{HashMap, HashSet};

use super::super::encoding::{self, MetaRow};
use super::super::keys;
use super::Last;
use super::format::{self, Effect, Message, Snapshot};

/// A page as far as the check knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Known {
    /// Nothing was read of it.
    #[default]
    Nothing,
    /// Changes of it were read, but not what they change: it must come later, or is lost.
    Changes,
    /// It is where the snapshot says.
    Snapshot,
    /// The log has it as a whole.
    Whole,
}

/// A change of a page.
#[derive(Debug)]
pub(super) struct Change {
    page: u64,
    effect: Effect,
    /// The row about the store in it.
    meta: Option<MetaRow>,
    /// It is the first page of rows.
    first_leaf: bool,
}

impl Change {
    pub(super) fn of(page: u64, effect: Effect, body: &[u8]) -> Self {
        let (value, first_leaf) = match effect {
            Effect::Link => (format::link_value(body, keys::META), false),
            Effect::Replace => match format::first_leaf_value(body, keys::META) {
                Some(value) => (value, true),
                None => (None, false),
            },
            Effect::Free => (None, false),
        };
        let meta = value.and_then(|row| encoding::decode(row, "the row about the store").ok());
        Self { page, effect, meta, first_leaf }
    }
}

/// What of a message counts here.
#[derive(Debug)]
pub(super) enum Seen {
    Change(Change),
    /// See [`Message::Batch`].
    Batch(u64),
    Nothing,
}

impl Seen {
    pub(super) fn of(message: Message<'_>) -> Self {
        match message {
            Message::Page(page, effect, body) => Self::Change(Change::of(page, effect, body)),
            Message::Batch(last) => Self::Batch(last),
            Message::Canceled | Message::Cap => Self::Nothing,
        }
    }
}

/// The pages, and the row about the store among their rows.
#[derive(Debug, Default)]
pub(super) struct Pages {
    known: Vec<Known>,
    /// The newest such row of each page that had its key. Keys are shortened in all pages but the first, so others
    /// may have rows that look like it.
    metas: HashMap<u64, MetaRow>,
    first_leaves: HashSet<u64>,
    /// The last position of the batch that is being read, and what it has changed so far.
    batch: Option<u64>,
    pending: Vec<Change>,
    /// The snapshot includes what is before.
    from: u64,
    last: Last,
    /// The newest row about the store in the log.
    sequence: Option<u64>,
}

impl Pages {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut known = vec![Known::Nothing; usize::try_from(snapshot.pages).unwrap_or(0)];
        for place in &snapshot.places {
            if let Some(known) = usize::try_from(place.page).ok().and_then(|page| known.get_mut(page)) {
                *known = Known::Snapshot;
            }
        }
        Self { known, from: snapshot.lsn, ..Self::default() }
    }

    /// The next message of the log.
    pub(super) fn take(&mut self, seen: Seen, lsn: u64, length: u64) {
        match seen {
            // What the snapshot includes has no further effect but must be readable.
            Seen::Change(change) if lsn < self.from => self.note(&change),
            Seen::Change(change) => self.pending.push(change),
            Seen::Batch(last) => self.batch = Some(last),
            Seen::Nothing => {}
        }
        if self.batch.is_none_or(|last| last < lsn + length) {
            self.batch = None;
            self.apply();
        }
    }

    /// The log ends at this position.
    pub(super) fn end(&mut self, lsn: u64) {
        if self.batch.take().is_some_and(|last| last >= lsn) {
            self.pending.clear();
        }
        self.apply();
    }

    fn apply(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.note(&change);
            let sequence = change.meta.map(|meta| meta.sequence).filter(|found| self.sequence < Some(*found));
            self.last = if sequence.is_some() { Last::Batch } else { Last::Other };
            self.sequence = sequence.or(self.sequence);
            let Ok(page) = usize::try_from(change.page) else { continue };
            if self.known.len() <= page {
                self.known.resize(page + 1, Known::Nothing);
            }
            let known = &mut self.known[page];
            *known = match (change.effect, *known) {
                (Effect::Replace | Effect::Free, _) => Known::Whole,
                (Effect::Link, Known::Nothing) => Known::Changes,
                (Effect::Link, known) => known,
            };
        }
    }

    /// A change that the snapshot includes, or one of a whole batch.
    pub(super) fn note(&mut self, change: &Change) {
        if change.first_leaf {
            self.first_leaves.insert(change.page);
        }
        if let Some(meta) = change.meta {
            let newest = self.metas.entry(change.page).or_insert(meta);
            if newest.sequence < meta.sequence {
                *newest = meta;
            }
        }
    }

    /// True: the page is no longer where the snapshot says.
    pub(super) fn is_replaced(&self, page: u64) -> bool {
        usize::try_from(page).ok().and_then(|page| self.known.get(page)) == Some(&Known::Whole)
    }

    /// Pages of which parts are missing.
    pub(super) fn damage(&self) -> Option<String> {
        let missing = self.known.iter().filter(|known| matches!(known, Known::Nothing | Known::Changes)).count();
        (missing > 0).then(|| format!("{missing} pages of rows are missing from the file 'db'"))
    }

    /// The newest change.
    pub(super) fn last(&self) -> Last {
        self.last
    }

    /// The newest row about the store.
    pub(super) fn meta(&self) -> MetaRow {
        let of_first = self.metas.iter().filter(|(page, _)| self.first_leaves.contains(page));
        of_first.map(|(_, meta)| *meta).max_by_key(|meta| meta.sequence).unwrap_or(MetaRow {
            sequence: 0,
            next_number: 1,
            last_mail: None,
        })
    }
}
