//! Removes rows that nothing leads to any more: at once when they are few, otherwise behind, a bounded number with
//! each batch. A garbage row remembers what is left to do, so that a restart goes on with it.

use std::collections::HashSet;

use super::encoding::{self, PayloadRow, PieceRow, SLOT_PIECES};
use super::keys::{self, KeyRange};
use super::read::failed;
use super::rows::{Changes, Rows};
use crate::store::StoreError;

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// History, payloads and pieces of an instance that is gone.
    All { number: u64 },
    /// History of earlier executions: all that was written before this revision.
    HistoryBefore { number: u64, revision: u64 },
    /// One piece that a slot no longer refers to.
    Piece { number: u64, revision: u64, piece: u32 },
    /// Pieces that were written ahead of a commit which then never came, because the process ended.
    Ahead { number: u64, revision: u64 },
    /// Parts of a message that was taken, or that were written ahead of a commit which never came.
    Mail { id: u64 },
}

impl Task {
    /// The key of the row that remembers it.
    pub(super) fn key(self) -> Vec<u8> {
        match self {
            Self::All { number } => keys::garbage(number, 1, 0, 0),
            Self::HistoryBefore { number, revision } => keys::garbage(number, 2, revision, 0),
            Self::Piece { number, revision, piece } => keys::garbage(number, 3, revision, piece),
            Self::Ahead { number, revision } => keys::garbage(number, 4, revision, 0),
            Self::Mail { id } => keys::garbage(id, 5, 0, 0),
        }
    }

    /// The instance it is about, if it is about one.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::All { number }
            | Self::HistoryBefore { number, .. }
            | Self::Piece { number, .. }
            | Self::Ahead { number, .. } => Some(number),
            Self::Mail { .. } => None,
        }
    }

    /// What a garbage row's key says.
    pub(super) fn of_key(key: &[u8]) -> Result<Self, StoreError> {
        let (number, kind, revision, piece) = keys::garbage_parts(key)?;
        match kind {
            1 => Ok(Self::All { number }),
            2 => Ok(Self::HistoryBefore { number, revision }),
            3 => Ok(Self::Piece { number, revision, piece }),
            4 => Ok(Self::Ahead { number, revision }),
            5 => Ok(Self::Mail { id: number }),
            unknown => Err(StoreError::Corrupt(format!("garbage kind {unknown} is unknown"))),
        }
    }

    fn ranges(self) -> Vec<KeyRange> {
        match self {
            Self::All { number } => {
                vec![keys::all_history(number), keys::all_slots(number), keys::all_chunks(number)]
            }
            Self::HistoryBefore { number, revision } => {
                vec![keys::histories(number, 0, revision), keys::chunks_before(number, revision)]
            }
            Self::Piece { number, revision, piece } => vec![keys::chunks(number, revision, piece)],
            Self::Ahead { number, revision } => vec![keys::chunks_of_commit(number, revision)],
            Self::Mail { id } => vec![keys::all_mail_parts(id)],
        }
    }

    /// Adds the removal of at most `limit` rows. True: nothing is left. `keep`: pieces that slots still refer to.
    pub(super) fn collect(
        self,
        tree: &Rows,
        limit: usize,
        keep: &HashSet<(u64, u32)>,
        changes: &mut Changes,
    ) -> Result<bool, StoreError> {
        let before = changes.len();
        for (index, (from, until)) in self.ranges().into_iter().enumerate() {
            for key in tree.range(from..until).keys() {
                let key = key.map_err(failed)?;
                if self.keeps(index, &key, keep)? {
                    continue;
                }
                if changes.len() - before >= limit {
                    return Ok(false);
                }
                changes.push((key.to_vec(), None));
            }
        }
        Ok(true)
    }

    /// Whether a row of its ranges stays.
    fn keeps(self, range: usize, key: &[u8], keep: &HashSet<(u64, u32)>) -> Result<bool, StoreError> {
        match self {
            Self::HistoryBefore { .. } if range == 1 => {
                let (revision, piece) = keys::chunk_piece(key)?;
                Ok(piece >= SLOT_PIECES || keep.contains(&(revision, piece)))
            }
            Self::All { .. }
            | Self::HistoryBefore { .. }
            | Self::Piece { .. }
            | Self::Ahead { .. }
            | Self::Mail { .. } => Ok(false),
        }
    }

    /// Goes on with it in the background: the rows that slots refer to are looked up now.
    pub(super) fn go_on(self, tree: &Rows, limit: usize, changes: &mut Changes) -> Result<bool, StoreError> {
        let keep = match self {
            Self::HistoryBefore { number, .. } => {
                slot_pieces(tree, number)?.into_iter().map(|(_, piece)| (piece.revision, piece.piece)).collect()
            }
            Self::All { .. } | Self::Piece { .. } | Self::Ahead { .. } | Self::Mail { .. } => HashSet::new(),
        };
        self.collect(tree, limit, &keep, changes)
    }
}

/// The slots of an instance whose payloads lie in pieces.
pub(super) fn slot_pieces(tree: &Rows, number: u64) -> Result<Vec<(u8, PieceRow)>, StoreError> {
    let (from, until) = keys::all_slots(number);
    let mut found = Vec::new();
    for row in tree.range(from..until) {
        let (key, value) = row.map_err(failed)?;
        let payload: PayloadRow<'_> = encoding::decode(&value, "a payload")?;
        if let (Some(slot), Some(piece)) = (key.last(), payload.piece) {
            found.push((*slot, piece));
        }
    }
    Ok(found)
}

/// All that garbage rows remember.
pub(super) fn remembered(tree: &Rows) -> Result<Vec<Task>, StoreError> {
    let (from, until) = keys::all_garbage();
    tree.range(from..until).keys().map(|key| Task::of_key(&key.map_err(failed)?)).collect()
}
