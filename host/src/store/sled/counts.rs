//! How many instances there are. Every batch writes the new counts along with the rows that change them, so that they
//! are exact after any crash; a batch writes one row for each orchestrator, however many of its instances change.

use std::collections::BTreeMap;

use durawasm_core::Status;

use super::encoding;
use super::keys;
use super::read::failed;
use super::rows::Changes;
use super::rows::Rows;
use crate::store::{Counts, StatusCounts, StoreError};

/// Changes of counts: the key of the count's row, the status, how many more.
pub(super) type Counted = Vec<(Vec<u8>, Status, i64)>;

/// The changes of a batch, added up.
#[derive(Debug, Default)]
pub(super) struct Counting(BTreeMap<Vec<u8>, BTreeMap<Status, i64>>);

impl Counting {
    pub(super) fn add(&mut self, counted: Counted) {
        for (key, status, difference) in counted {
            *self.0.entry(key).or_default().entry(status).or_default() += difference;
        }
    }
}

/// The count rows as they are after a batch. What earlier batches changed is in the tree by now.
pub(super) fn rows(tree: &Rows, counting: Counting) -> Result<Changes, StoreError> {
    let mut changes = Changes::new();
    for (key, differences) in counting.0 {
        if differences.values().all(|difference| *difference == 0) {
            continue;
        }
        let mut counts = match tree.get(&key).map_err(failed)? {
            Some(row) => encoding::decode_counts(&row)?,
            None => StatusCounts::default(),
        };
        for (status, difference) in differences {
            counts.add(status, difference);
        }
        let row = encoding::encode_counts(&counts)?;
        changes.push((key, row));
    }
    Ok(changes)
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
