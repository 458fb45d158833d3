//! What a hub consists of, entry by entry, for a file that takes it to another server. Encoded as in the store, so
//! whatever can be read there can be read here, in every later version.

use durawasm_core::{HistoryEvent, Payload, TaskId, Timestamp};
use minicbor::{Decode, Encode};

use super::encoding::{
    Head, NoPieces, Pieces, Time, decode, decode_app, decode_events, decode_hub, decode_mail, decode_record, encode,
    encode_app, encode_body, encode_events, encode_hub, encode_mail, encode_record,
};
use crate::store::usage::Stored;
use crate::store::{AppRecord, HubName, HubRecord, InstanceRecord, MailId, NewMail, Payloads, StoreError};

/// An instance with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct HubInstance {
    /// Its record. The number is that of the server it comes from.
    pub record: InstanceRecord,
    /// Its payloads.
    pub payloads: Payloads,
    /// The history of its current execution, oldest first.
    pub history: Vec<HistoryEvent>,
    /// Its timers.
    pub timers: Vec<(TaskId, Timestamp)>,
}

/// A part of a hub.
#[derive(Clone, Debug, PartialEq)]
pub enum HubEntry {
    /// Its record; comes first.
    Hub(Box<HubRecord>),
    /// An app.
    App(Box<AppRecord>),
    /// An instance.
    Instance(Box<HubInstance>),
    /// A message that waits to be taken. They come in the order in which they were sent.
    Mail(Box<NewMail>),
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct EntryRow<'a> {
    #[n(0)]
    kind: u8,
    #[cbor(b(1), with = "minicbor::bytes")]
    row: &'a [u8],
    #[b(2)]
    input: Option<&'a str>,
    #[b(3)]
    output: Option<&'a str>,
    #[b(4)]
    custom_status: Option<&'a str>,
    #[cbor(b(5), with = "minicbor::bytes")]
    history: Option<&'a [u8]>,
    #[n(6)]
    timers: Option<Vec<TimerEntry>>,
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct TimerEntry {
    #[n(0)]
    task: u32,
    #[n(1)]
    due: Time,
}

const HUB: u8 = 1;
const APP: u8 = 2;
const INSTANCE: u8 = 3;
const MAIL: u8 = 4;

/// An entry as bytes. `hub`: whose it is.
///
/// # Errors
/// When something of it cannot be encoded.
pub fn encode_entry(hub: &HubName, entry: &HubEntry) -> Result<Vec<u8>, StoreError> {
    let plain = |kind, row: &[u8]| {
        encode(&EntryRow { kind, row, input: None, output: None, custom_status: None, history: None, timers: None })
    };
    match entry {
        HubEntry::Hub(record) => plain(HUB, &encode_hub(record)?),
        HubEntry::App(app) => plain(APP, &encode_app(app)?),
        HubEntry::Mail(mail) => plain(MAIL, &encode_mail(hub, mail)?),
        HubEntry::Instance(instance) => {
            let HubInstance { record, payloads, history, timers } = &**instance;
            let head = Head {
                revision: record.revision,
                history_from: 0,
                status: record.status,
                ready: record.ready,
                created: record.created,
                class: None,
                stored: Stored::default(),
            };
            let timers = timers.iter().map(|(task, due)| TimerEntry { task: task.0, due: Time(*due) }).collect();
            encode(&EntryRow {
                kind: INSTANCE,
                row: &encode_record(&head, &encode_body(record)?)?,
                input: payloads.input.as_deref(),
                output: payloads.output.as_deref(),
                custom_status: payloads.custom_status.as_deref(),
                history: Some(&encode_events(history, &mut Pieces::none())?),
                timers: Some(timers),
            })
        }
    }
}

/// The entry of these bytes.
///
/// # Errors
/// When they are none that this version knows.
pub fn decode_entry(bytes: &[u8]) -> Result<HubEntry, StoreError> {
    let EntryRow { kind, row, input, output, custom_status, history, timers } = decode(bytes, "an entry of a hub")?;
    match kind {
        HUB => Ok(HubEntry::Hub(Box::new(decode_hub(row)?))),
        APP => Ok(HubEntry::App(Box::new(decode_app(row)?))),
        MAIL => {
            let mail = decode_mail(MailId(0), row)?;
            Ok(HubEntry::Mail(Box::new(NewMail { to: mail.to, pin: mail.pin, letter: mail.letter })))
        }
        INSTANCE => {
            let mut events = Vec::new();
            decode_events(history.unwrap_or_default(), &mut NoPieces, &mut events)?;
            let (_, record) = decode_record(0, row)?;
            let payloads = Payloads {
                input: input.map(Payload::from),
                output: output.map(Payload::from),
                custom_status: custom_status.map(Payload::from),
            };
            let timers =
                timers.unwrap_or_default().into_iter().map(|timer| (TaskId(timer.task), timer.due.0)).collect();
            Ok(HubEntry::Instance(Box::new(HubInstance { record, payloads, history: events, timers })))
        }
        unknown => Err(StoreError::Corrupt(format!("an entry of a hub is of the unknown kind {unknown}"))),
    }
}
