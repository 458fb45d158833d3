//! App records.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::{Time, corrupt, decode, encode};
use crate::store::{
    AppOptions, AppRecord, AppVersion, AuthLevel, Digest, FunctionKind, HttpTrigger, ScheduleState, StoreError,
    TimerTrigger, Trigger, TriggerKind,
};

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct AppRow<'a> {
    #[b(0)]
    hub: &'a str,
    #[b(1)]
    name: &'a str,
    #[n(2)]
    generation: u32,
    #[cbor(b(3), with = "minicbor::bytes")]
    current: &'a [u8],
    #[b(4)]
    versions: Vec<VersionRow<'a>>,
    #[n(5)]
    completes_early: Option<bool>,
    #[n(6)]
    current_activities: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct VersionRow<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    digest: &'a [u8],
    #[b(1)]
    label: Option<&'a str>,
    #[b(2)]
    sdk: &'a str,
    #[n(3)]
    deployed: Time,
    #[n(4)]
    size: u64,
    #[b(5)]
    functions: Vec<FunctionRow<'a>>,
    #[b(6)]
    imports: Vec<&'a str>,
    #[b(7)]
    triggers: Option<Vec<TriggerRow<'a>>>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct TriggerRow<'a> {
    #[b(0)]
    name: &'a str,
    #[n(1)]
    kind: u8,
    /// The route, or the schedule.
    #[b(2)]
    place: Option<&'a str>,
    #[b(3)]
    methods: Option<Vec<&'a str>>,
    #[n(4)]
    level: Option<u8>,
    /// What was due while the host was down is left out.
    #[n(5)]
    unmonitored: Option<bool>,
    #[n(6)]
    run_on_startup: Option<bool>,
    #[n(7)]
    streams: Option<bool>,
}

const HTTP: u8 = 1;
const MANUAL: u8 = 2;
const TIMER: u8 = 3;

const ANONYMOUS: u8 = 1;
const FUNCTION: u8 = 2;
const ADMIN: u8 = 3;

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct FunctionRow<'a> {
    #[n(0)]
    kind: u8,
    #[b(1)]
    name: &'a str,
}

const ORCHESTRATOR: u8 = 1;
const ACTIVITY: u8 = 2;

/// The record as bytes.
pub(in crate::store::sled) fn encode_app(app: &AppRecord) -> Result<Vec<u8>, StoreError> {
    encode(&AppRow {
        hub: &app.hub,
        name: &app.name,
        generation: app.generation,
        current: &app.current.0,
        versions: app.versions.iter().map(VersionRow::new).collect(),
        completes_early: app.options.completes_early.then_some(true),
        current_activities: app.options.current_activities.then_some(true),
    })
}

/// The record of these bytes.
pub(in crate::store::sled) fn decode_app(bytes: &[u8]) -> Result<AppRecord, StoreError> {
    let row: AppRow<'_> = decode(bytes, "an app record")?;
    Ok(AppRecord {
        hub: Arc::from(row.hub),
        name: row.name.to_owned(),
        generation: row.generation,
        current: digest(row.current)?,
        versions: row.versions.iter().map(VersionRow::load).collect::<Result<_, _>>()?,
        options: AppOptions {
            completes_early: row.completes_early.unwrap_or(false),
            current_activities: row.current_activities.unwrap_or(false),
        },
    })
}

impl<'a> VersionRow<'a> {
    fn new(version: &'a AppVersion) -> Self {
        Self {
            digest: &version.digest.0,
            label: version.label.as_deref(),
            sdk: &version.sdk,
            deployed: Time(version.deployed),
            size: version.size,
            functions: version.functions.iter().map(FunctionRow::new).collect(),
            imports: version.imports.iter().map(String::as_str).collect(),
            triggers: (!version.triggers.is_empty()).then(|| version.triggers.iter().map(TriggerRow::new).collect()),
        }
    }

    fn load(&self) -> Result<AppVersion, StoreError> {
        Ok(AppVersion {
            digest: digest(self.digest)?,
            label: self.label.map(str::to_owned),
            sdk: self.sdk.to_owned(),
            deployed: self.deployed.0,
            size: self.size,
            functions: self.functions.iter().map(FunctionRow::load).collect::<Result<_, _>>()?,
            imports: self.imports.iter().map(|import| (*import).to_owned()).collect(),
            triggers: self.triggers.iter().flatten().map(TriggerRow::load).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> FunctionRow<'a> {
    fn new((kind, name): &'a (FunctionKind, String)) -> Self {
        let kind = match kind {
            FunctionKind::Orchestrator => ORCHESTRATOR,
            FunctionKind::Activity => ACTIVITY,
        };
        Self { kind, name }
    }

    fn load(&self) -> Result<(FunctionKind, String), StoreError> {
        let kind = match self.kind {
            ORCHESTRATOR => FunctionKind::Orchestrator,
            ACTIVITY => FunctionKind::Activity,
            unknown => return Err(corrupt(format!("function kind {unknown} of an app is unknown"))),
        };
        Ok((kind, self.name.to_owned()))
    }
}

impl<'a> TriggerRow<'a> {
    fn new(trigger: &'a Trigger) -> Self {
        let empty = Self {
            name: &trigger.name,
            kind: MANUAL,
            place: None,
            methods: None,
            level: None,
            unmonitored: None,
            run_on_startup: None,
            streams: None,
        };
        match &trigger.kind {
            TriggerKind::Http(HttpTrigger { route, methods, level, streams }) => Self {
                kind: HTTP,
                place: Some(route),
                methods: Some(methods.iter().map(String::as_str).collect()),
                level: Some(match level {
                    AuthLevel::Anonymous => ANONYMOUS,
                    AuthLevel::Function => FUNCTION,
                    AuthLevel::Admin => ADMIN,
                }),
                streams: streams.then_some(true),
                ..empty
            },
            TriggerKind::Manual => empty,
            TriggerKind::Timer(TimerTrigger { schedule, use_monitor, run_on_startup }) => Self {
                kind: TIMER,
                place: Some(schedule),
                unmonitored: (!use_monitor).then_some(true),
                run_on_startup: run_on_startup.then_some(true),
                ..empty
            },
        }
    }

    fn load(&self) -> Result<Trigger, StoreError> {
        let place = || self.place.map(str::to_owned).ok_or_else(|| corrupt("a function lacks its route or schedule"));
        let kind = match self.kind {
            HTTP => TriggerKind::Http(HttpTrigger {
                route: place()?,
                methods: self.methods.iter().flatten().map(|method| (*method).to_owned()).collect(),
                level: match self.level {
                    Some(ANONYMOUS) => AuthLevel::Anonymous,
                    Some(FUNCTION) => AuthLevel::Function,
                    Some(ADMIN) => AuthLevel::Admin,
                    // Unknown is no reason to let more people in.
                    Some(_) | None => return Err(corrupt("the level of an HTTP function is unknown")),
                },
                streams: self.streams.unwrap_or(false),
            }),
            MANUAL => TriggerKind::Manual,
            TIMER => TriggerKind::Timer(TimerTrigger {
                schedule: place()?,
                use_monitor: !self.unmonitored.unwrap_or(false),
                run_on_startup: self.run_on_startup.unwrap_or(false),
            }),
            unknown => return Err(corrupt(format!("trigger kind {unknown} of an app is unknown"))),
        };
        Ok(Trigger { name: self.name.to_owned(), kind })
    }
}

/// Where a timer function is in its schedule.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct ScheduleRow<'a> {
    #[b(0)]
    schedule: &'a str,
    #[n(1)]
    due: Time,
    #[n(2)]
    last: Option<Time>,
    #[n(3)]
    updated: Time,
}

pub(in crate::store::sled) fn encode_schedule(state: &ScheduleState) -> Result<Vec<u8>, StoreError> {
    encode(&ScheduleRow {
        schedule: &state.schedule,
        due: Time(state.due),
        last: state.last.map(Time),
        updated: Time(state.updated),
    })
}

pub(in crate::store::sled) fn decode_schedule(bytes: &[u8]) -> Result<ScheduleState, StoreError> {
    let row: ScheduleRow<'_> = decode(bytes, "a schedule")?;
    Ok(ScheduleState {
        schedule: row.schedule.to_owned(),
        due: row.due.0,
        last: row.last.map(|last| last.0),
        updated: row.updated.0,
    })
}

fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    <[u8; 32]>::try_from(bytes).map(Digest).map_err(|_| corrupt("a digest in an app record must have 32 bytes"))
}
