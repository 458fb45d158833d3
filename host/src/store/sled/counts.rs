//! How many instances there are, and what hubs use and store. Every batch writes the new counts along with the rows that change them, so that they
//! are exact after any crash; a batch writes one row for each orchestrator, however many of its instances change.

use std::collections::BTreeMap;

use durawasm_core::Status;

use super::encoding;
use super::keys;
use super::read::failed;
use super::rows::Changes;
use super::rows::Rows;
use crate::store::{Counts, HubUsage, StatusCounts, StoreError, Usage};

/// Changes of counts.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The key of the count's row, the status, how many more.
    pub(super) statuses: Vec<(Vec<u8>, Status, i64)>,
    /// The key of the hub's row, and what is added there.
    charges: Vec<(Vec<u8>, Charge)>,
}

/// What a hub's row changes by.
#[derive(Clone, Copy, Debug, Default)]
struct Charge {
    used: Usage,
    stored: i64,
}

impl Counted {
    /// An instance of this hub has stored so many bytes, and now stores so many.
    pub(super) fn stores(&mut self, hub: &str, (before, after): (u64, u64)) {
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        if before != after {
            let stored = size(after) - size(before);
            self.charges.push((keys::usage(hub), Charge { stored, ..Charge::default() }));
        }
    }

    /// This hub has used so much more.
    pub(super) fn uses(&mut self, hub: &str, used: Usage) {
        if !used.is_nothing() {
            self.charges.push((keys::usage(hub), Charge { used, ..Charge::default() }));
        }
    }
}

/// The changes of a batch, added up.
#[derive(Debug, Default)]
pub(super) struct Counting {
    statuses: BTreeMap<Vec<u8>, BTreeMap<Status, i64>>,
    charges: BTreeMap<Vec<u8>, Charge>,
}

impl Counting {
    pub(super) fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.charges.is_empty()
    }

    pub(super) fn add(&mut self, counted: Counted) {
        for (key, status, difference) in counted.statuses {
            *self.statuses.entry(key).or_default().entry(status).or_default() += difference;
        }
        for (key, Charge { used, stored }) in counted.charges {
            let sum = self.charges.entry(key).or_default();
            sum.used.add(used);
            sum.stored = sum.stored.saturating_add(stored);
        }
    }
}

/// The count rows as they are after a batch. `before` gives a row as earlier batches leave it.
pub(super) fn rows<R: AsRef<[u8]>>(
    counting: Counting,
    before: impl Fn(&[u8]) -> Result<Option<R>, StoreError>,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::new();
    for (key, differences) in counting.statuses {
        if differences.values().all(|difference| *difference == 0) {
            continue;
        }
        let mut counts = match before(&key)? {
            Some(row) => encoding::decode_counts(row.as_ref())?,
            None => StatusCounts::default(),
        };
        for (status, difference) in differences {
            counts.add(status, difference);
        }
        let row = encoding::encode_counts(&counts)?;
        changes.push((key, row));
    }
    for (key, Charge { used, stored }) in counting.charges {
        let mut usage = before(&key)?.map(|row| encoding::decode_usage(row.as_ref())).transpose()?.unwrap_or_default();
        usage.used.add(used);
        usage.stored_bytes = usage.stored_bytes.saturating_add_signed(stored);
        let row = (usage != HubUsage::default()).then(|| encoding::encode_usage(&usage)).transpose()?;
        changes.push((key, row));
    }
    Ok(changes)
}

/// What a hub has used and what it stores.
pub(super) fn usage(tree: &Rows, hub: &str) -> Result<HubUsage, StoreError> {
    let row = tree.get(keys::usage(hub)).map_err(failed)?;
    Ok(row.map(|row| encoding::decode_usage(&row)).transpose()?.unwrap_or_default())
}

/// The counts of a hub.
pub(super) fn of_hub(tree: &Rows, hub: &str) -> Result<Counts, StoreError> {
    let (from, until) = keys::counts(hub);
    let mut counts = Counts::default();
    for row in tree.range(from..until) {
        let (key, value) = row.map_err(failed)?;
        counts.by_name.insert(keys::count_name(hub, &key)?.to_owned(), encoding::decode_counts(&value)?);
    }
    Ok(counts)
}
