//! A recorded history in a file of its own, with everything in it: to keep it, to send it, to replay it elsewhere.
//!
//! The events are encoded as in the store, so whatever can be read there can be read here, in every later version.

use durawasm_core::HistoryEvent;
use minicbor::{Decode, Encode};

use super::encoding::{NoPieces, Pieces, decode, decode_events, encode, encode_events};
use crate::store::StoreError;

/// The form of the file; another number is another form.
const FORM: u16 = 1;

#[derive(Decode, Encode)]
#[cbor(map)]
struct FileRow<'a> {
    #[n(0)]
    form: u16,
    #[cbor(b(1), with = "minicbor::bytes")]
    events: &'a [u8],
}

/// The history as bytes.
///
/// # Errors
/// When an event cannot be encoded.
pub fn encode_history(history: &[HistoryEvent]) -> Result<Vec<u8>, StoreError> {
    let events = encode_events(history, &mut Pieces::none())?;
    encode(&FileRow { form: FORM, events: &events })
}

/// The history of these bytes.
///
/// # Errors
/// When they are none, or of a form or with events that this version does not know.
pub fn decode_history(bytes: &[u8]) -> Result<Vec<HistoryEvent>, StoreError> {
    let FileRow { form, events } = decode(bytes, "a portable history")?;
    if form != FORM {
        return Err(StoreError::Corrupt(format!("a portable history of form {form}; this version reads form {FORM}")));
    }
    let mut history = Vec::new();
    decode_events(events, &mut NoPieces, &mut history)?;
    Ok(history)
}

#[cfg(test)]
mod tests {
    use durawasm_core::{EventKind, Payload, TaskId, Timestamp};

    use super::*;

    #[test]
    fn a_history_comes_back_with_its_large_payloads() {
        let result = Some(Payload::from("7".repeat(100_000)));
        let kind = EventKind::TaskCompleted { task: TaskId(1), result };
        let history = vec![HistoryEvent { at: Timestamp::UNIX_EPOCH, kind }];
        let bytes = encode_history(&history).unwrap();
        assert_eq!(decode_history(&bytes).unwrap(), history);
    }

    #[test]
    fn what_is_no_history_is_refused() {
        assert!(decode_history(b"").is_err());
        assert!(decode_history(b"a text").is_err());
        let later = encode(&FileRow { form: FORM + 1, events: &[] }).unwrap();
        assert!(decode_history(&later).unwrap_err().to_string().contains("form 2"));
        let whole = encode_history(&[]).unwrap();
        assert!(decode_history(&whole[..whole.len() - 1]).is_err());
    }
}
