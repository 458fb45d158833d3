//! What rows hold: types of the store's own, with numbered fields, and the ways from and to the types of the core.
//!
//! A number, once used, keeps its meaning for ever: stores of every released version must stay readable. Fields that
//! this version does not know are skipped; kinds that it does not know are refused, because skipping one would change
//! what a history means.

mod app;
mod event;
mod hub;
mod mail;
mod parts;
mod record;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use durawasm_core::model::Tags;
use durawasm_core::{Payload, Status, Timestamp};
use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};
use minicbor::{Decode as DeriveDecode, Encode as DeriveEncode};

use crate::store::{StatusCounts, StoreError};

pub(super) use app::{decode_app, decode_schedule, encode_app, encode_schedule};
pub(super) use event::{HistoryRow, decode_events, encode_events};
pub(super) use hub::{decode_hub, encode_hub};
pub(super) use mail::{MailHead, decode_mail, encode_mail};
pub(super) use record::{Head, decode_head, decode_record, encode_body, encode_record};
pub(super) use usage::{decode_usage, encode_usage};

/// Payloads up to this many bytes lie in the row itself.
pub(super) const INLINE: usize = 1024;

/// Pieces with at least this index belong to a slot (input, output, custom status) alone; those below to history,
/// though a slot may share one.
pub(super) const SLOT_PIECES: u32 = 1 << 31;

/// The store as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub(super) struct MetaRow {
    /// Batches written so far.
    #[n(0)]
    pub(super) sequence: u64,
    /// The number of the next instance.
    #[n(1)]
    pub(super) next_number: u64,
    /// The number of the last message between two instances; none: there was none yet.
    #[n(2)]
    pub(super) last_mail: Option<u64>,
}

/// What hub and id lead to.
#[derive(Clone, Copy, Debug, PartialEq, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub(super) struct NumberRow {
    #[n(0)]
    pub(super) number: u64,
}

/// How many instances of an orchestrator have which status.
#[derive(Clone, Debug, Default, PartialEq, DeriveEncode, DeriveDecode)]
#[cbor(map)]
struct CountRow {
    /// By the status's number on the wire; what is 0 is left out.
    #[n(0)]
    by_status: BTreeMap<u8, u64>,
}

/// None: there are no such instances, and there is no row.
pub(super) fn encode_counts(counts: &StatusCounts) -> Result<Option<Vec<u8>>, StoreError> {
    let some = Status::ALL.into_iter().filter(|status| counts.get(*status) > 0);
    let by_status: BTreeMap<_, _> = some.map(|status| (status as u8, counts.get(status))).collect();
    if by_status.is_empty() { Ok(None) } else { encode(&CountRow { by_status }).map(Some) }
}

pub(super) fn decode_counts(row: &[u8]) -> Result<StatusCounts, StoreError> {
    let row: CountRow = decode(row, "a count of instances")?;
    let mut counts = StatusCounts::default();
    for (number, count) in row.by_status {
        counts.add(status(number)?, i64::try_from(count).unwrap_or(i64::MAX));
    }
    Ok(counts)
}

/// Where a large value lies: in chunks, keyed by the commit that wrote it and its index in that commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub(super) struct PieceRow {
    #[n(0)]
    pub(super) revision: u64,
    #[n(1)]
    pub(super) piece: u32,
    /// Bytes.
    #[n(2)]
    pub(super) length: u64,
}

/// A payload: its text, or where it lies.
#[derive(Clone, Copy, Debug, PartialEq, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub(super) struct PayloadRow<'a> {
    #[b(0)]
    text: Option<&'a str>,
    #[n(1)]
    pub(super) piece: Option<PieceRow>,
}

impl PayloadRow<'_> {
    /// The payload, which `pieces` fetches if it does not lie in the row.
    pub(super) fn load(&self, pieces: &mut dyn LoadPieces) -> Result<Payload, StoreError> {
        match (self.text, self.piece) {
            (Some(text), None) => Ok(Arc::from(text)),
            (None, Some(piece)) => pieces.text(piece),
            (None, None) | (Some(_), Some(_)) => Err(corrupt("a payload must have either a text or a place")),
        }
    }
}

/// Fetches large values.
pub(super) trait LoadPieces {
    /// The bytes of this piece.
    fn bytes(&mut self, piece: PieceRow) -> Result<Vec<u8>, StoreError>;

    /// The same, as the text that it must be.
    fn text(&mut self, piece: PieceRow) -> Result<Payload, StoreError> {
        let text = String::from_utf8(self.bytes(piece)?).map_err(|_| corrupt("a payload is not UTF-8"))?;
        Ok(Arc::from(text))
    }
}

/// For rows that hold all of their payloads.
pub(super) struct NoPieces;

impl LoadPieces for NoPieces {
    fn bytes(&mut self, _: PieceRow) -> Result<Vec<u8>, StoreError> {
        Err(corrupt("a payload that must lie in its row lies elsewhere"))
    }
}

/// Collects the large values of one commit.
#[derive(Debug)]
pub(super) struct Pieces {
    revision: u64,
    /// Index and content, in the order of writing.
    pub(super) list: Vec<(u32, PieceData)>,
    next: u32,
    /// Payloads up to this many bytes stay in the row.
    inline: usize,
    /// Bytes of the events' payloads that do not.
    pub(super) outside: u64,
}

/// The content of a piece.
#[derive(Clone, Debug)]
pub(super) enum PieceData {
    /// A payload, shared with whoever holds it.
    Text(Payload),
    /// Encoded events.
    Bytes(Vec<u8>),
}

impl PieceData {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Pieces {
    /// For the commit that makes this revision.
    pub(super) fn new(revision: u64) -> Self {
        Self { revision, list: Vec::new(), next: 0, inline: INLINE, outside: 0 }
    }

    /// For rows that hold all of their payloads: no pieces come of it.
    pub(super) fn none() -> Self {
        Self { revision: 0, list: Vec::new(), next: 0, inline: usize::MAX, outside: 0 }
    }

    /// A payload of an event.
    fn event<'a>(&mut self, payload: &'a Payload) -> PayloadRow<'a> {
        if payload.len() <= self.inline {
            return PayloadRow { text: Some(payload), piece: None };
        }
        self.outside += payload.len() as u64;
        let piece = match self.shared(payload) {
            Some(piece) => piece,
            None => self.push(PieceData::Text(payload.clone())),
        };
        self.place(piece, payload.len())
    }

    /// A payload of the instance. It shares the piece of an event of this commit that has the very same payload.
    pub(super) fn slot<'a>(&mut self, slot: u8, payload: &'a Payload) -> PayloadRow<'a> {
        if payload.len() <= INLINE {
            return PayloadRow { text: Some(payload), piece: None };
        }
        let piece = self.shared(payload).unwrap_or_else(|| {
            let piece = SLOT_PIECES + u32::from(slot);
            self.list.push((piece, PieceData::Text(payload.clone())));
            piece
        });
        self.place(piece, payload.len())
    }

    /// The encoded events of the commit, when they are many.
    pub(super) fn events(&mut self, events: Vec<u8>) -> PieceRow {
        let length = events.len() as u64;
        let piece = self.push(PieceData::Bytes(events));
        PieceRow { revision: self.revision, piece, length }
    }

    fn shared(&self, payload: &Payload) -> Option<u32> {
        self.list.iter().rev().find_map(|(piece, data)| match data {
            PieceData::Text(text) if *piece < SLOT_PIECES && Arc::ptr_eq(text, payload) => Some(*piece),
            PieceData::Text(_) | PieceData::Bytes(_) => None,
        })
    }

    fn push(&mut self, data: PieceData) -> u32 {
        let piece = self.next;
        self.next += 1;
        self.list.push((piece, data));
        piece
    }

    fn place<'a>(&self, piece: u32, length: usize) -> PayloadRow<'a> {
        PayloadRow { text: None, piece: Some(PieceRow { revision: self.revision, piece, length: length as u64 }) }
    }
}

/// A moment: seconds since 1970 and nanoseconds of the second, both with the sign of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time(pub(super) Timestamp);

impl<C> Encode<C> for Time {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        encoder.array(2)?.i64(self.0.as_second())?.i32(self.0.subsec_nanosecond())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Time {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if decoder.array()? != Some(2) {
            return Err(DecodeError::message("a time must have two parts"));
        }
        let (second, nanosecond) = (decoder.i64()?, decoder.i32()?);
        Timestamp::new(second, nanosecond).map(Self).map_err(|_| DecodeError::message("a time is out of range"))
    }
}

/// Tags, absent when there are none.
type TagsRow<'a> = Option<BTreeMap<&'a str, &'a str>>;

fn tags_row(tags: &Tags) -> TagsRow<'_> {
    if tags.is_empty() {
        return None;
    }
    Some(tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
}

fn tags(row: &TagsRow<'_>) -> Tags {
    row.iter().flatten().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn status(number: u8) -> Result<Status, StoreError> {
    Status::from_number(number).ok_or_else(|| corrupt(format!("status number {number} is unknown")))
}

fn corrupt(message: impl Into<String>) -> StoreError {
    StoreError::Corrupt(message.into())
}

/// Bytes of a row.
pub(super) fn encode<T: Encode<()>>(row: &T) -> Result<Vec<u8>, StoreError> {
    minicbor::to_vec(row).map_err(|error| corrupt(format!("a row cannot be encoded: {error}")))
}

/// The row of these bytes; `what` names it in the error.
pub(super) fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8], what: &str) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|error| corrupt(format!("{what}: {error}")))
}
