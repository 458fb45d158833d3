//! Messages between instances, as they wait for their addressees.

use std::sync::Arc;

use durawasm_core::{ChildStart, Letter};
use minicbor::{Decode, Encode};

use super::parts::{AwaitedByRow, FailureRow, payload_row};
use super::{NoPieces, PayloadRow, Pieces, TagsRow, corrupt, decode, encode, tags, tags_row};
use crate::store::{Digest, HubName, Mail, MailId, NewMail, Pinned, StoreError};

/// What lies under a message's number: the message, or how long it is if it lies in parts.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(in crate::store::sled) struct MailHead<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    pub(in crate::store::sled) whole: Option<&'a [u8]>,
    #[n(1)]
    pub(in crate::store::sled) length: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct MailRow<'a> {
    #[b(0)]
    hub: &'a str,
    #[b(1)]
    to: &'a str,
    #[b(2)]
    app: Option<&'a str>,
    #[cbor(b(3), with = "minicbor::bytes")]
    digest: Option<&'a [u8]>,
    #[n(4)]
    kind: u16,
    #[b(5)]
    name: Option<&'a str>,
    #[b(6)]
    payload: Option<PayloadRow<'a>>,
    #[b(7)]
    version: Option<&'a str>,
    #[b(8)]
    tags: TagsRow<'a>,
    #[b(9)]
    parent_instance_id: Option<&'a str>,
    #[b(10)]
    awaited_by: Option<AwaitedByRow<'a>>,
    #[n(11)]
    depth: Option<u32>,
    #[b(12)]
    trace_parent: Option<&'a str>,
    #[n(13)]
    again: Option<bool>,
    #[b(14)]
    failure: Option<FailureRow<'a>>,
    #[b(15)]
    reason: Option<&'a str>,
    #[b(16)]
    trace_state: Option<&'a str>,
}

/// The numbers of the kinds.
mod kind {
    pub(super) const START_CHILD: u16 = 1;
    pub(super) const CHILD_ENDED: u16 = 2;
    pub(super) const EVENT_RAISED: u16 = 3;
    pub(super) const TERMINATE: u16 = 4;
}

/// The bytes of a message.
pub(in crate::store::sled) fn encode_mail(hub: &HubName, mail: &NewMail) -> Result<Vec<u8>, StoreError> {
    let pieces = &mut Pieces::none();
    let empty = MailRow {
        hub,
        to: &mail.to,
        app: mail.pin.as_ref().map(|pin| pin.app.as_str()),
        digest: mail.pin.as_ref().map(|pin| pin.digest.0.as_slice()),
        kind: 0,
        name: None,
        payload: None,
        version: None,
        tags: None,
        parent_instance_id: None,
        awaited_by: None,
        depth: None,
        trace_parent: None,
        trace_state: None,
        again: None,
        failure: None,
        reason: None,
    };
    let row = match &mail.letter {
        Letter::StartChild(start) => MailRow {
            kind: kind::START_CHILD,
            name: Some(&start.name),
            payload: payload_row(start.input.as_ref(), pieces),
            version: start.version.as_deref(),
            tags: tags_row(&start.tags),
            parent_instance_id: Some(&start.parent_instance_id),
            awaited_by: start.awaited_by.as_ref().map(AwaitedByRow::new),
            depth: Some(start.depth),
            trace_parent: start.trace_parent.as_deref(),
            trace_state: start.trace_state.as_deref(),
            again: start.again.then_some(true),
            ..empty
        },
        Letter::ChildEnded { awaited_by, outcome } => MailRow {
            kind: kind::CHILD_ENDED,
            awaited_by: Some(AwaitedByRow::new(awaited_by)),
            payload: outcome.as_ref().ok().and_then(|result| payload_row(result.as_ref(), pieces)),
            failure: outcome.as_ref().err().map(|failure| FailureRow::new(failure, pieces)),
            ..empty
        },
        Letter::EventRaised { name, input } => MailRow {
            kind: kind::EVENT_RAISED,
            name: Some(name),
            payload: payload_row(input.as_ref(), pieces),
            ..empty
        },
        Letter::Terminate { parent_instance_id, reason } => MailRow {
            kind: kind::TERMINATE,
            parent_instance_id: Some(parent_instance_id),
            reason: reason.as_deref(),
            ..empty
        },
    };
    encode(&row)
}

/// The message of these bytes.
pub(in crate::store::sled) fn decode_mail(id: MailId, bytes: &[u8]) -> Result<Mail, StoreError> {
    let row: MailRow<'_> = decode(bytes, "a message between instances")?;
    let lacks = |what| move || corrupt(format!("message {} lacks its {what}", id.0));
    let payload = row.payload.map(|payload| payload.load(&mut NoPieces)).transpose()?;
    let awaited_by = row.awaited_by.as_ref().map(AwaitedByRow::load);
    let letter = match row.kind {
        kind::START_CHILD => Letter::StartChild(Box::new(ChildStart {
            name: row.name.ok_or_else(lacks("name"))?.to_owned(),
            input: payload,
            version: row.version.map(str::to_owned),
            tags: tags(&row.tags),
            parent_instance_id: row.parent_instance_id.map(Arc::from).ok_or_else(lacks("parent"))?,
            awaited_by,
            depth: row.depth.unwrap_or(0),
            trace_parent: row.trace_parent.map(str::to_owned),
            trace_state: row.trace_state.map(str::to_owned),
            again: row.again.unwrap_or(false),
        })),
        kind::CHILD_ENDED => Letter::ChildEnded {
            awaited_by: awaited_by.ok_or_else(lacks("call"))?,
            outcome: match &row.failure {
                Some(failure) => Err(failure.load(&mut NoPieces)?),
                None => Ok(payload),
            },
        },
        kind::EVENT_RAISED => {
            Letter::EventRaised { name: row.name.ok_or_else(lacks("name"))?.to_owned(), input: payload }
        }
        kind::TERMINATE => Letter::Terminate {
            parent_instance_id: row.parent_instance_id.map(Arc::from).ok_or_else(lacks("parent"))?,
            reason: row.reason.map(Arc::from),
        },
        unknown => return Err(corrupt(format!("kind {unknown} of message {} is unknown", id.0))),
    };
    let pin = match (row.app, row.digest) {
        (Some(app), Some(digest)) => {
            let digest = <[u8; 32]>::try_from(digest).map_err(|_| corrupt("a digest must have 32 bytes"))?;
            Some(Pinned { app: app.to_owned(), digest: Digest(digest) })
        }
        (Some(_) | None, None) | (None, Some(_)) => None,
    };
    Ok(Mail { id, hub: Arc::from(row.hub), to: Arc::from(row.to), pin, letter })
}
