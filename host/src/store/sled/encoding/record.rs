//! Instance records: a small head, which the writer reads and writes, and a body, which callers encode.

use std::sync::Arc;

use durawasm_core::{Status, Timestamp};
use minicbor::{Decode, Encode};

use super::{TagsRow, Time, corrupt, decode, encode, status, tags, tags_row};
use crate::store::usage::Stored;
use crate::store::{Digest, InstanceNumber, InstanceRecord, StoreError};

/// What decisions need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::store::sled) struct Head {
    pub(in crate::store::sled) revision: u64,
    /// The revision with which the current execution's history begins.
    pub(in crate::store::sled) history_from: u64,
    pub(in crate::store::sled) status: Status,
    pub(in crate::store::sled) ready: bool,
    pub(in crate::store::sled) created: Timestamp,
    /// The class under which the index by status has it; none: it has no row there.
    pub(in crate::store::sled) class: Option<u8>,
    /// Bytes that the hub stores for it. Of an instance that is older than this, what was written since.
    pub(in crate::store::sled) stored: Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct HeadRow {
    #[n(0)]
    revision: u64,
    #[n(1)]
    history_from: u64,
    #[n(2)]
    status: u8,
    #[n(3)]
    ready: bool,
    #[n(4)]
    created: Time,
    #[n(5)]
    class: Option<u8>,
    #[n(6)]
    history_bytes: Option<u64>,
    #[n(7)]
    input_bytes: Option<u64>,
    #[n(8)]
    output_bytes: Option<u64>,
    #[n(9)]
    custom_status_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct BodyRow<'a> {
    #[b(0)]
    hub: &'a str,
    #[b(1)]
    id: &'a str,
    #[b(2)]
    name: &'a str,
    #[n(3)]
    updated: Time,
    #[b(4)]
    version: Option<&'a str>,
    #[b(5)]
    app: &'a str,
    #[cbor(b(6), with = "minicbor::bytes")]
    digest: &'a [u8],
    #[b(7)]
    execution_id: &'a str,
    #[n(8)]
    generation: u32,
    #[b(9)]
    parent_instance_id: Option<&'a str>,
    #[b(10)]
    tags: TagsRow<'a>,
}

/// The body of a record's row.
pub(in crate::store::sled) fn encode_body(record: &InstanceRecord) -> Result<Vec<u8>, StoreError> {
    encode(&BodyRow {
        hub: &record.hub,
        id: &record.id,
        name: &record.name,
        updated: Time(record.updated),
        version: record.version.as_deref(),
        app: &record.app,
        digest: &record.digest.0,
        execution_id: &record.execution_id,
        generation: record.generation,
        parent_instance_id: record.parent_instance_id.as_deref(),
        tags: tags_row(&record.tags),
    })
}

/// The whole row: head, then body.
pub(in crate::store::sled) fn encode_record(head: &Head, body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let Head { revision, history_from, status, ready, created, class, stored } = *head;
    let [input, output, custom_status] = stored.payloads;
    let bytes = |bytes: u64| (bytes > 0).then_some(bytes);
    let mut row = encode(&HeadRow {
        revision,
        history_from,
        status: status as u8,
        ready,
        created: Time(created),
        class,
        history_bytes: bytes(stored.history),
        input_bytes: bytes(input),
        output_bytes: bytes(output),
        custom_status_bytes: bytes(custom_status),
    })?;
    row.extend_from_slice(body);
    Ok(row)
}

/// The head of a record's row.
pub(in crate::store::sled) fn decode_head(row: &[u8]) -> Result<Head, StoreError> {
    let row: HeadRow = decode(row, "an instance record")?;
    let payloads = [row.input_bytes, row.output_bytes, row.custom_status_bytes].map(Option::unwrap_or_default);
    Ok(Head {
        revision: row.revision,
        history_from: row.history_from,
        status: status(row.status)?,
        ready: row.ready,
        created: row.created.0,
        class: row.class,
        stored: Stored { history: row.history_bytes.unwrap_or_default(), payloads },
    })
}

/// Head and record of a record's row.
pub(in crate::store::sled) fn decode_record(number: u64, row: &[u8]) -> Result<(Head, InstanceRecord), StoreError> {
    let what = |error| corrupt(format!("the record of instance number {number}: {error}"));
    let mut decoder = minicbor::Decoder::new(row);
    decoder.skip().map_err(what)?;
    let body: BodyRow<'_> = decoder.decode().map_err(what)?;
    let head = decode_head(row)?;
    let digest = <[u8; 32]>::try_from(body.digest)
        .map_err(|_| corrupt(format!("the record of instance number {number}: a digest must have 32 bytes")))?;
    let record = InstanceRecord {
        hub: Arc::from(body.hub),
        id: Arc::from(body.id),
        number: InstanceNumber(number),
        revision: head.revision,
        name: body.name.to_owned(),
        status: head.status,
        created: head.created,
        updated: body.updated.0,
        version: body.version.map(str::to_owned),
        app: body.app.to_owned(),
        digest: Digest(digest),
        execution_id: body.execution_id.to_owned(),
        generation: body.generation,
        parent_instance_id: body.parent_instance_id.map(Arc::from),
        tags: tags(&body.tags),
        ready: head.ready,
    };
    Ok((head, record))
}
