//! Removing an instance because somebody asked for it.

use super::encoding;
use super::group::{self, Decision, Touched};
use super::keys;
use super::read::failed;
use super::rows::Rows;
use crate::store::CommitError;

/// Remove this instance, if it is at this revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purge {
    pub(super) number: u64,
    pub(super) revision: u64,
}

impl Touched {
    /// Decides a purge. None: it must wait for the next group.
    pub(super) fn purge(&mut self, tree: &Rows, purge: Purge) -> Result<Option<Decision>, CommitError> {
        let Purge { number, revision } = purge;
        if self.has(number) {
            return Ok(None);
        }
        let Some(row) = tree.get(keys::instance(number)).map_err(failed)? else { return Err(CommitError::Conflict) };
        let (head, record) = encoding::decode_record(number, &row)?;
        if head.revision != revision {
            return Err(CommitError::Conflict);
        }
        let mut decision = Decision::new(number, revision, 0);
        let number_key = keys::number(&record.hub, &record.id);
        decision.remove(number_key.clone());
        group::remove_rows(tree, (&head, &record), &mut decision)?;
        self.numbers.insert(number);
        // A start with this id in the same group would still see the row that leads here.
        self.keys.insert(number_key);
        Ok(Some(decision))
    }
}
