//! What a commit becomes before it reaches the writer. Encoding is done by whoever commits, on any core, so that the
//! one writer thread has only keys to make and rows to hand on.

use durawasm_core::{InstanceId, Payload, Status, TaskId, Timestamp};

use super::encoding::{self, HistoryRow, PieceData, PieceRow, Pieces};
use crate::store::usage::Stored;
use crate::store::{Commit, Expect, HubName, MailId, PayloadChanges, StoreError, Usage};

/// Input, output and custom status, by their slots.
pub(super) const SLOTS: [u8; 3] = [0, 1, 2];

/// No row's value is larger, in bytes. A page of sled holds up to 17 of them and must stay far below a quarter of a
/// segment, or sled makes a file of it that it never syncs.
pub(super) const MAX_VALUE: usize = 32 * 1024;

/// Encoded events beyond this many bytes are written as a piece.
const MAX_EVENTS: usize = 16 * 1024;

/// Encoded messages beyond this many bytes lie in parts.
pub(super) const MAIL_INLINE: usize = 2048;

/// Slots and their rows; none: the row goes.
type SlotRows = Vec<(u8, Option<Vec<u8>>)>;

/// A commit, encoded but for what only the writer knows: the number of a new instance, the begin of its history.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) expect: Expect,
    pub(super) hub: HubName,
    pub(super) id: InstanceId,
    pub(super) name: String,
    pub(super) parent: Option<InstanceId>,
    pub(super) number_key: Vec<u8>,
    /// Meaningless for a start.
    pub(super) number: u64,
    /// The revision that this commit makes.
    pub(super) revision: u64,
    pub(super) status: Status,
    pub(super) ready: bool,
    pub(super) created: Timestamp,
    pub(super) body: Vec<u8>,
    pub(super) fresh_history: bool,
    pub(super) history: Option<Vec<u8>>,
    /// Written, or removed.
    pub(super) slots: SlotRows,
    pub(super) pieces: Vec<(u32, PieceData)>,
    pub(super) timers_set: Vec<(TaskId, Timestamp)>,
    pub(super) timers_cleared: Vec<(TaskId, Timestamp)>,
    /// Encoded.
    pub(super) mail_sent: Vec<Vec<u8>>,
    pub(super) mail_taken: Vec<MailId>,
    /// What the commit adds to the history.
    pub(super) history_bytes: u64,
    /// The new size of each of `slots`.
    pub(super) payloads: Stored,
    pub(super) usage: Usage,
}

impl Prepared {
    /// Encodes a commit.
    pub(super) fn new(commit: Commit) -> Result<Self, StoreError> {
        let Commit {
            expect,
            record,
            payloads,
            fresh_history,
            events,
            timers_set,
            timers_cleared,
            mail_sent,
            mail_taken,
            usage,
        } = commit;
        let mail_sent =
            mail_sent.iter().map(|mail| encoding::encode_mail(&record.hub, mail)).collect::<Result<_, _>>()?;
        let revision = match expect {
            Expect::Startable(_) => 1,
            Expect::Revision(revision) => revision.saturating_add(1),
        };
        let mut pieces = Pieces::new(revision);
        let (mut history_bytes, mut sizes) = (0, Stored::default());
        sizes.change(&payloads);
        let history = if events.is_empty() {
            None
        } else {
            let events = encoding::encode_events(&events, &mut pieces)?;
            history_bytes = events.len() as u64 + pieces.outside;
            Some(history_row(events, &mut pieces)?)
        };
        let slots = slot_rows(&payloads, &mut pieces)?;
        let body = encoding::encode_body(&record)?;
        if body.len() > MAX_VALUE - 1024 {
            return Err(StoreError::TooLarge(format!(
                "the record of instance '{}' (id, names and tags) has {} bytes; at most {} fit",
                record.id,
                body.len(),
                MAX_VALUE - 1024
            )));
        }
        Ok(Self {
            expect,
            number_key: super::keys::number(&record.hub, &record.id),
            number: record.number.0,
            revision,
            status: record.status,
            ready: record.ready,
            created: record.created,
            hub: record.hub,
            id: record.id,
            name: record.name,
            parent: record.parent_instance_id,
            body,
            fresh_history,
            history,
            slots,
            pieces: pieces.list,
            timers_set,
            timers_cleared,
            mail_sent,
            mail_taken,
            history_bytes,
            payloads: sizes,
            usage,
        })
    }

    /// Bytes of what lies beside its rows: pieces and large messages.
    pub(super) fn piece_bytes(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|(_, data)| data.as_bytes().len()).sum();
        let mail: usize = self.mail_sent.iter().map(Vec::len).filter(|bytes| *bytes > MAIL_INLINE).sum();
        pieces + mail
    }
}

fn history_row(events: Vec<u8>, pieces: &mut Pieces) -> Result<Vec<u8>, StoreError> {
    if events.len() <= MAX_EVENTS {
        return encoding::encode(&HistoryRow { events: Some(&events), piece: None });
    }
    let piece: PieceRow = pieces.events(events);
    encoding::encode(&HistoryRow { events: None, piece: Some(piece) })
}

fn slot_rows(changes: &PayloadChanges, pieces: &mut Pieces) -> Result<SlotRows, StoreError> {
    let PayloadChanges { input, output, custom_status } = changes;
    let mut rows = Vec::new();
    for (slot, change) in SLOTS.into_iter().zip([input, output, custom_status]) {
        if let Some(payload) = change {
            rows.push((slot, payload.as_ref().map(|payload| slot_row(slot, payload, pieces)).transpose()?));
        }
    }
    Ok(rows)
}

fn slot_row(slot: u8, payload: &Payload, pieces: &mut Pieces) -> Result<Vec<u8>, StoreError> {
    encoding::encode(&pieces.slot(slot, payload))
}
