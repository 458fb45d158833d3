//! Reading rows. A scan is no snapshot: what spans several rows is read again when the instance's revision has moved
//! meanwhile. Whether the rows are durable is the caller's question, see [`super::durable`].

use durawasm_core::{HistoryEvent, Timestamp};

use super::encoding::{self, HistoryRow, LoadPieces, NumberRow, PayloadRow, PieceRow};
use super::keys;
use super::prepare::SLOTS;
use super::rows::Rows;
use crate::store::{
    AppRecord, InstanceNumber, InstanceRecord, PayloadParts, Payloads, ScheduleKey, ScheduleState, Snapshot,
    StoreError, TimerRow,
};

/// An error of sled, in words for the operator.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(super) fn failed(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Corrupt(format!("sled: {error}")),
        sled::Error::Io(_)
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Unavailable(format!("sled: {error}")),
    }
}

/// How much of a history is read without handing the work to a thread that may block for long: rows.
pub(super) const SHORT_HISTORY: u64 = 32;

/// The number that hub and id lead to.
pub(super) fn number(tree: &Rows, key: &[u8]) -> Result<Option<u64>, StoreError> {
    let Some(row) = tree.get(key).map_err(failed)? else { return Ok(None) };
    let row: NumberRow = encoding::decode(&row, "the row that leads from an id to its instance")?;
    Ok(Some(row.number))
}

/// An instance by hub and id.
pub(super) fn instance(tree: &Rows, hub: &str, id: &str) -> Result<Option<InstanceRecord>, StoreError> {
    let key = keys::number(hub, id);
    loop {
        let Some(number) = number(tree, &key)? else { return Ok(None) };
        if let Some(row) = tree.get(keys::instance(number)).map_err(failed)? {
            return Ok(Some(encoding::decode_record(number, &row)?.1));
        }
        // Between the two reads a start replaced the instance; then the id leads elsewhere now.
        if self::number(tree, &key)? == Some(number) {
            return Err(StoreError::Corrupt(format!("instance '{id}' of hub '{hub}' has no record")));
        }
    }
}

/// Large values of one instance.
struct PieceReader<'a> {
    tree: &'a Rows,
    number: u64,
}

impl LoadPieces for PieceReader<'_> {
    fn bytes(&mut self, piece: PieceRow) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        // What a row says is not believed blindly: a wrong length must not take all memory.
        let mut bytes = Vec::with_capacity(length.min(64 << 20));
        let (from, until) = keys::chunks(self.number, piece.revision, piece.piece);
        for row in self.tree.range(from..until) {
            let (_, value) = row.map_err(failed)?;
            let missing = length - bytes.len();
            bytes.extend_from_slice(value.get(..missing).unwrap_or(&value));
            if bytes.len() == length {
                break;
            }
        }
        if bytes.len() == length {
            return Ok(bytes);
        }
        Err(StoreError::Corrupt(format!(
            "instance number {}: of a value of {length} bytes (revision {}, piece {}) only {} are there",
            self.number,
            piece.revision,
            piece.piece,
            bytes.len()
        )))
    }
}

/// Reads with `read` until the instance's record is the same before and after.
fn settled<T>(
    tree: &Rows,
    number: InstanceNumber,
    mut read: impl FnMut(&encoding::Head, InstanceRecord) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let key = keys::instance(number.0);
    loop {
        let Some(row) = tree.get(&key).map_err(failed)? else { return Ok(None) };
        let (head, record) = encoding::decode_record(number.0, &row)?;
        let result = read(&head, record);
        let unchanged = match tree.get(&key).map_err(failed)? {
            Some(row) => encoding::decode_head(&row)?.revision == head.revision,
            None => return Ok(None),
        };
        if unchanged {
            return result.map(Some);
        }
    }
}

/// The rows of history that an instance may have; none if it is gone.
pub(super) fn history_rows(tree: &Rows, number: InstanceNumber) -> Result<Option<u64>, StoreError> {
    let Some(row) = tree.get(keys::instance(number.0)).map_err(failed)? else { return Ok(None) };
    let head = encoding::decode_head(&row)?;
    Ok(Some(head.revision.saturating_sub(head.history_from).saturating_add(1)))
}

/// Record and history.
pub(super) fn history(
    tree: &Rows,
    number: InstanceNumber,
) -> Result<Option<(InstanceRecord, Vec<HistoryEvent>)>, StoreError> {
    settled(tree, number, |head, record| {
        let mut pieces = PieceReader { tree, number: number.0 };
        let mut events = Vec::new();
        let (from, until) = keys::histories(number.0, head.history_from, head.revision.saturating_add(1));
        for row in tree.range(from..until) {
            let (_, value) = row.map_err(failed)?;
            let row: HistoryRow<'_> = encoding::decode(&value, "a history row")?;
            match (row.events, row.piece) {
                (Some(bytes), None) => encoding::decode_events(bytes, &mut pieces, &mut events)?,
                (None, Some(piece)) => {
                    let bytes = pieces.bytes(piece)?;
                    encoding::decode_events(&bytes, &mut pieces, &mut events)?;
                }
                (None, None) | (Some(_), Some(_)) => {
                    return Err(StoreError::Corrupt("a history row must have either events or their place".into()));
                }
            }
        }
        Ok((record, events))
    })
}

/// Input, output and custom status.
pub(super) fn payloads(tree: &Rows, number: InstanceNumber) -> Result<Payloads, StoreError> {
    Ok(snapshot(tree, number, PayloadParts::ALL)?.map(|(_, payloads)| payloads).unwrap_or_default())
}

/// Record and payloads.
pub(super) fn snapshot(
    tree: &Rows,
    number: InstanceNumber,
    parts: PayloadParts,
) -> Result<Option<Snapshot>, StoreError> {
    settled(tree, number, |_, record| {
        let mut pieces = PieceReader { tree, number: number.0 };
        let mut load = |slot, wanted: bool| {
            if !wanted {
                return Ok(None);
            }
            let Some(row) = tree.get(keys::slot(number.0, slot)).map_err(failed)? else { return Ok(None) };
            let row: PayloadRow<'_> = encoding::decode(&row, "a payload")?;
            row.load(&mut pieces).map(Some)
        };
        let [input, output, custom_status] = SLOTS;
        let payloads = Payloads {
            input: load(input, parts.input)?,
            output: load(output, parts.output)?,
            custom_status: load(custom_status, parts.custom_status)?,
        };
        Ok((record, payloads))
    })
}

/// Instances with work in flight.
pub(super) fn ready(
    tree: &Rows,
    after: Option<InstanceNumber>,
    limit: usize,
) -> Result<Vec<InstanceNumber>, StoreError> {
    let (from, until) = keys::ready_after(after);
    if from >= until {
        return Ok(Vec::new());
    }
    tree.range(from..until).keys().take(limit).map(|key| keys::ready_number(&key.map_err(failed)?)).collect()
}

/// Timers that are due, and those among them whose instance is gone: the latter are left behind by a replaced
/// instance, because no row leads from an instance to its timers.
pub(super) fn timers(
    tree: &Rows,
    until: Timestamp,
    limit: usize,
) -> Result<(Vec<TimerRow>, Vec<TimerRow>), StoreError> {
    let (from, until) = keys::timers_until(until);
    let (mut live, mut stale) = (Vec::new(), Vec::new());
    for key in tree.range(from..until).keys() {
        if live.len() >= limit {
            break;
        }
        let timer = keys::timer_row(&key.map_err(failed)?)?;
        if tree.contains_key(keys::instance(timer.number.0)).map_err(failed)? {
            live.push(timer);
        } else {
            stale.push(timer);
        }
    }
    Ok((live, stale))
}

/// All apps. A record that changes while its chunks are read is read again.
pub(super) fn apps(tree: &Rows) -> Result<Vec<AppRecord>, StoreError> {
    let (from, until) = keys::all_apps();
    let mut names: Vec<Vec<u8>> = Vec::new();
    for key in tree.range(from..until).keys() {
        let key = key.map_err(failed)?;
        let app = keys::record_of_chunk(&key);
        if names.last().is_none_or(|last| last != app) {
            names.push(app.to_vec());
        }
    }
    names.iter().filter_map(|prefix| app(tree, prefix).transpose()).collect()
}

/// The app whose chunks' keys begin with this.
pub(super) fn app(tree: &Rows, prefix: &[u8]) -> Result<Option<AppRecord>, StoreError> {
    let bytes = settled_bytes(tree, prefix)?;
    if bytes.is_empty() { Ok(None) } else { encoding::decode_app(&bytes).map(Some) }
}

/// A record in chunks, all of them of one moment.
pub(super) fn settled_bytes(tree: &Rows, prefix: &[u8]) -> Result<Vec<u8>, StoreError> {
    loop {
        let first = chunked_bytes(tree, prefix)?;
        if first == chunked_bytes(tree, prefix)? {
            return Ok(first);
        }
    }
}

fn chunked_bytes(tree: &Rows, prefix: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for row in tree.scan_prefix(prefix) {
        bytes.extend_from_slice(&row.map_err(failed)?.1);
    }
    Ok(bytes)
}

/// The schedules of all timer functions.
pub(super) fn schedules(tree: &Rows) -> Result<Vec<(ScheduleKey, ScheduleState)>, StoreError> {
    let (from, until) = keys::all_schedules();
    let rows = tree.range(from..until).map(|row| row.map_err(failed));
    rows.map(|row| row.and_then(|(key, value)| Ok((keys::schedule_key(&key)?, encoding::decode_schedule(&value)?))))
        .collect()
}

/// One of them.
pub(super) fn schedule(tree: &Rows, key: &[u8]) -> Result<Option<ScheduleState>, StoreError> {
    tree.get(key).map_err(failed)?.map(|row| encoding::decode_schedule(&row)).transpose()
}
