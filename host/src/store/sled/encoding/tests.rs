//! What is written is read again, by this version and by others.

use std::sync::Arc;

use durawasm_core::history::Ending;
use durawasm_core::{Cause, EventKind, Failure, Fuel, HistoryEvent, Payload, RetryPolicy, Status, TaskId, Timestamp};
use minicbor::Encode;
use proptest::prelude::*;

use super::{LoadPieces, PieceRow, Pieces, decode_app, decode_events, decode_record, encode, encode_events};
use crate::store::StoreError;
use crate::store::conformance::{every_kind, record};

/// The pieces of one commit, as a store would give them back.
struct Kept(Pieces);

impl LoadPieces for Kept {
    fn bytes(&mut self, place: PieceRow) -> Result<Vec<u8>, StoreError> {
        let found = self.0.list.iter().find(|(piece, _)| *piece == place.piece).map(|(_, data)| data.as_bytes());
        let bytes = found.ok_or_else(|| super::corrupt("no such piece"))?;
        assert_eq!(bytes.len() as u64, place.length);
        Ok(bytes.to_vec())
    }
}

fn round_trip(events: &[HistoryEvent]) -> Vec<HistoryEvent> {
    let mut pieces = Pieces::new(3);
    let bytes = encode_events(events, &mut pieces).unwrap();
    let mut found = Vec::new();
    decode_events(&bytes, &mut Kept(pieces), &mut found).unwrap();
    found
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof!["\\PC{0,40}", "[a-z]{1020,1030}"].prop_map(|text| Arc::from(text.as_str()))
}

fn time() -> impl Strategy<Value = Timestamp> {
    let (first, last) = (Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
    (first..=last).prop_map(|nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap())
}

fn failure() -> impl Strategy<Value = Failure> {
    let cause = (".*", ".*", proptest::option::of(".*"));
    let causes = proptest::collection::vec(cause, 0..3);
    (".*", proptest::option::of(".*"), any::<bool>(), causes, proptest::option::of(payload())).prop_map(
        |(message, stack_trace, non_retriable, causes, properties)| Failure {
            error_type: "E".into(),
            message,
            stack_trace,
            non_retriable,
            causes: causes
                .into_iter()
                .map(|(error_type, message, stack_trace)| Cause { error_type, message, stack_trace })
                .collect(),
            properties,
        },
    )
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    let number = proptest::num::f64::NORMAL | proptest::num::f64::ZERO;
    (number, any::<u32>(), number, proptest::option::of(number), proptest::option::of(number)).prop_map(
        |(first_retry_interval_ms, max_attempts, backoff_coefficient, max_retry_interval_ms, retry_timeout_ms)| {
            RetryPolicy {
                first_retry_interval_ms,
                max_attempts,
                backoff_coefficient,
                max_retry_interval_ms,
                retry_timeout_ms,
            }
        },
    )
}

fn fuel() -> impl Strategy<Value = Option<Fuel>> {
    proptest::option::of((any::<u64>(), any::<u64>()).prop_map(|(total, code)| Fuel { total, code }))
}

fn kind() -> impl Strategy<Value = EventKind> {
    let task = || any::<u32>().prop_map(TaskId);
    let input = || proptest::option::of(payload());
    let outcome = || prop_oneof![input().prop_map(Ok), failure().prop_map(Err)];
    prop_oneof![
        (task(), ".*", input(), proptest::option::of(retry()), proptest::collection::btree_map(".*", ".*", 0..3))
            .prop_map(|(task, name, input, retry, tags)| EventKind::TaskScheduled {
                task,
                name,
                input,
                retry,
                timeout_ms: Some(0.25),
                tags
            }),
        (task(), any::<u32>(), failure(), time()).prop_map(|(task, attempt, failure, retry_at)| {
            EventKind::TaskAttemptFailed { task, attempt, failure, retry_at, heartbeat: None }
        }),
        (task(), input()).prop_map(|(task, result)| EventKind::TaskCompleted { task, result }),
        (task(), time()).prop_map(|(task, fire_at)| EventKind::TimerCreated { task, fire_at }),
        (".*", input()).prop_map(|(name, input)| EventKind::EventRaised { name, input }),
        (outcome(), fuel())
            .prop_map(|(outcome, fuel)| EventKind::OrchestratorReturned { ending: Ending::Returned(outcome), fuel }),
        (any::<u32>(), fuel()).prop_map(|(waits_served, fuel)| EventKind::EpisodeCompleted { waits_served, fuel }),
        (input(), any::<bool>()).prop_map(|(input, keep_events)| EventKind::OrchestratorReturned {
            ending: Ending::ContinuedAsNew { input, keep_events },
            fuel: None,
        }),
        (0..8_u8, outcome()).prop_map(|(status, outcome)| EventKind::ExecutionCompleted {
            status: Status::from_number(status).unwrap(),
            outcome
        }),
        proptest::sample::select(every_kind()).prop_map(|event| event.kind),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_come_back(events in proptest::collection::vec((time(), kind()), 0..8)) {
        let events: Vec<_> = events.into_iter().map(|(at, kind)| HistoryEvent { at, kind }).collect();
        prop_assert_eq!(round_trip(&events), events);
    }

    #[test]
    fn damaged_rows_are_errors_not_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut found = Vec::new();
        let _ = decode_events(&bytes, &mut Kept(Pieces::new(1)), &mut found);
        let _ = decode_record(1, &bytes);
        let _ = decode_app(&bytes);
    }

    #[test]
    fn keys_of_times_sort_as_times_do(one in time(), other in time()) {
        let key = |at| super::super::keys::Ordered::created("hub", "name").row(at, "id");
        prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
    }
}

#[test]
fn every_kind_comes_back() {
    assert_eq!(round_trip(&every_kind()), every_kind());
}

/// What a later version might write.
#[derive(Encode)]
#[cbor(map)]
struct LaterEvents {
    #[n(0)]
    events: Vec<LaterEvent>,
    #[n(9)]
    checksum: u64,
}

#[derive(Encode)]
#[cbor(map)]
struct LaterEvent {
    #[n(0)]
    at: super::Time,
    #[n(1)]
    kind: u16,
    #[n(2)]
    task: Option<u32>,
    #[n(99)]
    colour: Option<String>,
}

fn read_later(kind: u16, task: Option<u32>) -> Result<Vec<HistoryEvent>, StoreError> {
    let event = LaterEvent { at: super::Time(Timestamp::UNIX_EPOCH), kind, task, colour: Some("blue".into()) };
    let bytes = encode(&LaterEvents { events: vec![event], checksum: 1 })?;
    let mut found = Vec::new();
    decode_events(&bytes, &mut Kept(Pieces::new(1)), &mut found)?;
    Ok(found)
}

#[test]
fn unknown_fields_are_skipped() {
    let found = read_later(8, Some(4)).unwrap();
    assert_eq!(found[0].kind, EventKind::TimerFired { task: TaskId(4) });
}

#[test]
fn unknown_kinds_and_missing_fields_are_named() {
    let unknown = read_later(4711, None).unwrap_err();
    assert!(matches!(&unknown, StoreError::Corrupt(what) if what.contains("kind 4711 is unknown")), "{unknown}");
    let lacking = read_later(8, None).unwrap_err();
    assert!(matches!(&lacking, StoreError::Corrupt(what) if what.contains("kind 8 lacks its task")), "{lacking}");
}

/// Bytes that a released version has written must be readable for ever.
#[test]
fn the_encoding_stays_as_it_is() {
    let event = HistoryEvent { at: Timestamp::UNIX_EPOCH, kind: EventKind::TimerFired { task: TaskId(4) } };
    let bytes = encode_events(&[event], &mut Pieces::new(1)).unwrap();
    assert_eq!(hex::encode(bytes), "a10081a30082000001080204");
}

#[test]
fn records_come_back() {
    let body = super::encode_body(&record("a")).unwrap();
    let (status, created) = (Status::Failed, Timestamp::MIN);
    let head = super::Head {
        revision: 9,
        history_from: 4,
        status,
        ready: true,
        created,
        class: Some(3),
        stored: Default::default(),
    };
    let row = super::encode_record(&head, &body).unwrap();
    let (found_head, found) = decode_record(7, &row).unwrap();
    assert_eq!((found_head, super::decode_head(&row).unwrap()), (head, head));
    assert_eq!((found.revision, found.number.0, found.created, found.status), (9, 7, created, status));
    assert_eq!((&found.tags, &found.id, found.digest), (&record("a").tags, &record("a").id, record("a").digest));
}
