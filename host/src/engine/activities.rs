//! Running activities: at least once, each attempt in a fresh guest, its outcome back into the caller's mailbox.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use durawasm_core::model::{HTTP_ACTIVITY, Outcome};
use durawasm_core::retry::duration_of_millis;
use durawasm_core::{ActivityCall, Failure, Message, TaskId};
use futures_util::FutureExt as _;
use futures_util::future::AbortHandle;

use super::Inner;
use super::actor::InFlight;
use super::executor::{ActivityLog, ActivityRun, HostFault, Pulse};
use super::guest_client::GuestClient;
use super::http::{self, HttpEnd, HttpRun};
use super::meters::{GuestRole, Kind};
use super::spans::{Attribute, Context, Open, SpanError, SpanKind, with_trace_parent};
use super::usage::Meter;
use crate::store::{BoxFuture, InstanceNumber, InstanceRecord, Usage};

/// No attempt may take longer, whatever its call says.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(24 * 3600);
/// Waits between tries while the host itself cannot run guests: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Inner {
    /// An attempt; nothing happens until its work is polled, and nobody sees anything of it before it is scheduled.
    pub(super) fn attempt_of(
        self: &Arc<Self>,
        caller: &Arc<InstanceRecord>,
        call: ActivityCall,
        context: Option<Context>,
    ) -> Attempt {
        let (engine, caller) = (Arc::clone(self), Arc::clone(caller));
        let pulse = Arc::new(Pulse::default());
        let log = Arc::new(ActivityLog::new(&self.logs, &self.clock, (&call.name, call.attempt)));
        let (task, attempt) = (call.task, call.attempt);
        let (its_pulse, its_log) = (Arc::clone(&pulse), Arc::clone(&log));
        let work = Box::pin(async move {
            let mut used = Usage::default();
            let ended = if call.name == HTTP_ACTIVITY {
                its_pulse.scheduled().await;
                engine.call_http((&caller, &call), context, &mut used).await
            } else {
                let name = ("activity", call.name.as_str());
                let mut span =
                    engine.open_task((SpanKind::Activity, name), &caller, (task.0, attempt), context.as_ref());
                let outcome = engine.attempt((&caller, call), (&its_pulse, &its_log), &mut used, &mut span).await;
                if let Some(span) = span {
                    span.ended(outcome.as_ref().err().map(SpanError::of));
                }
                Message::ActivityEnded { task, attempt, outcome, heartbeat: its_pulse.last() }
            };
            (ended, used)
        });
        Attempt { task, attempt, pulse, log, work }
    }

    /// Lets an attempt go on by itself. What it came to is told when the attempt is scheduled.
    pub(super) fn send_off(self: &Arc<Self>, caller: &InstanceRecord, attempt: Attempt) -> Begun {
        let Attempt { task, attempt, pulse, log, work } = attempt;
        let (engine, execution, its_pulse) = (Arc::clone(self), caller.execution_id.clone(), Arc::clone(&pulse));
        let lane = self.hubs.get(&caller.hub).map(|hub| Arc::clone(&hub.lanes().slices));
        let handle = self.threads.spawn_abortable(lane, async move {
            let ended = work.await;
            engine.post_for(its_pulse.caller().await, &execution, ended);
        });
        Begun { task, attempt, pulse, log, handle, is_scheduled: false }
    }

    fn timeout_of(&self, call: &ActivityCall) -> Duration {
        let asked = call.timeout_ms.map(|millis| Duration::try_from(duration_of_millis(millis)).unwrap_or_default());
        asked.unwrap_or(self.settings.activity_timeout).min(LONGEST_ATTEMPT)
    }

    /// Makes an attempt of an orchestrator's HTTP call. The message that brings its end.
    async fn call_http(
        &self,
        (caller, call): (&InstanceRecord, &ActivityCall),
        context: Option<Context>,
        used: &mut Usage,
    ) -> Message {
        let (task, attempt) = (call.task, call.attempt);
        let mut span = self.open_http_call(caller, call, context.as_ref());
        let Some(busy) = self.hubs.enter(&caller.hub) else {
            let failure = hub_deleted(caller);
            if let Some(span) = span {
                span.ended(Some(SpanError::of(&failure)));
            }
            return Message::ActivityEnded { task, attempt, outcome: Err(failure), heartbeat: None };
        };
        let run = HttpRun {
            hub: caller.hub.clone(),
            call: call.input.clone(),
            idempotency_key: idempotency_key(caller, call),
            trace_parent: span.as_ref().and_then(Open::trace_parent),
            trace_state: context.and_then(|context| context.state),
            timeout: self.timeout_of(call),
            traffic: self.share(busy.hub()),
        };
        let mut pause = FIRST_PAUSE;
        let mut turn = self.meters.turn(Kind::HttpCall);
        let end = loop {
            let permit = self.places.http_calls.acquire(&busy.hub().lanes().http_calls).await;
            turn.begins();
            span.iter_mut().for_each(Open::begins);
            if let Err(exceeded) = busy.hub().take_connection(self.now()) {
                break HttpEnd::Ended(Err(Failure::new("QuotaExceeded", exceeded.to_string())));
            }
            let meter = Meter::new(&Arc::default(), &Arc::default());
            // A panic is the host's fault and not the call's.
            let end = AssertUnwindSafe(self.executor.call_http(run.clone())).catch_unwind().await;
            used.add(Usage { connections: 1, ..meter.of_activity() });
            if let Ok(end) = end {
                break end;
            }
            drop(permit);
            turn.waits();
            tracing::warn!(instance = %caller.id, task = call.task.0, "the host broke down over an HTTP call: postponed");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        turn.ended(!matches!(end, HttpEnd::Ended(Err(_))));
        if let Some(span) = span {
            http::tell(span, &end);
        }
        match end {
            HttpEnd::Ended(outcome) => Message::ActivityEnded { task, attempt, outcome, heartbeat: None },
            HttpEnd::Postponed { answer, next, again } => {
                let due = again.due(self.now());
                Message::ActivityPostponed { task, attempt, answer, next, due }
            }
        }
    }

    fn open_http_call(&self, caller: &InstanceRecord, call: &ActivityCall, context: Option<&Context>) -> Option<Open> {
        self.settings.spans.as_ref().and(context)?;
        let (method, host) = http::method_and_host(call.input.as_deref());
        let (kind, task) = ((SpanKind::HttpCall, ("HTTP", method.as_str())), (call.task.0, call.attempt));
        let mut span = self.open_task(kind, caller, task, context)?;
        span.add("http.request.method", Attribute::text(&method));
        if let Some(host) = host {
            span.add("server.address", Attribute::text(&host));
        }
        Some(span)
    }

    async fn attempt(
        self: &Arc<Self>,
        (caller, call): (&InstanceRecord, ActivityCall),
        (pulse, log): (&Arc<Pulse>, &Arc<ActivityLog>),
        used: &mut Usage,
        span: &mut Option<Open>,
    ) -> Outcome {
        let trace_parent = span.as_ref().and_then(Open::trace_parent);
        let Some(busy) = self.hubs.enter(&caller.hub) else {
            return Err(hub_deleted(caller));
        };
        let digest = self.apps.find_activity(&caller.hub, (&caller.app, caller.digest), &call.name)?;
        let timeout = self.timeout_of(&call);
        let mut pause = FIRST_PAUSE;
        let mut turn = self.meters.turn(Kind::Activity);
        loop {
            let fuel = self.meters.burning(GuestRole::Activity);
            let run = ActivityRun {
                digest,
                hub: caller.hub.clone(),
                name: call.name.clone(),
                input: call.input.clone(),
                instance_id: caller.id.clone(),
                task: call.task.0,
                attempt: call.attempt,
                idempotency_key: idempotency_key(caller, &call),
                last_heartbeat: call.heartbeat.clone(),
                env: with_trace_parent(busy.env(), trace_parent.as_deref()),
                pulse: Arc::clone(pulse),
                log: Arc::clone(log),
                client: GuestClient::new(self, &caller.hub).traced(trace_parent.clone()),
                stops: Arc::clone(&self.meters.stops),
                fuel: Arc::clone(&fuel.gauge),
                share: self.share(busy.hub()),
                timeout,
            };
            let share = Arc::clone(&run.share);
            self.memory_room(busy.hub()).await;
            let _place = busy.hub().activity_place().await;
            let lanes = busy.hub().lanes();
            let permit = self.places.activities.acquire(&lanes.activities).await;
            turn.begins();
            span.iter_mut().for_each(Open::begins);
            let meter = Meter::new(&fuel.gauge, &share);
            let run = self.places.slices.paced(&lanes.slices, self.executor.run_activity(run));
            // A panic of the host is a fault like another. The guest it met is gone with its future.
            let ended = AssertUnwindSafe(run).catch_unwind().await;
            let ended = ended.unwrap_or_else(|_| Err(HostFault::Broken("it panicked; the log says where".to_owned())));
            drop(permit);
            let run = meter.of_activity();
            busy.hub().burn(run.activity_fuel, self.now());
            used.add(run);
            match ended {
                Ok(outcome) => {
                    turn.ended(outcome.is_ok());
                    return outcome;
                }
                Err(fault) => {
                    turn.waits();
                    self.was_short(&share);
                    tracing::warn!(instance = %caller.id, activity = %call.name, %fault, "activity postponed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// An attempt of an activity.
pub(super) struct Attempt {
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    pulse: Arc<Pulse>,
    pub(super) log: Arc<ActivityLog>,
    /// Comes to the message that brings its end, and to what it used.
    pub(super) work: BoxFuture<'static, (Message, Usage)>,
}

/// An attempt that goes on by itself. Dropped before it was scheduled, it never was.
pub(super) struct Begun {
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    pulse: Arc<Pulse>,
    log: Arc<ActivityLog>,
    handle: AbortHandle,
    is_scheduled: bool,
}

impl Begun {
    /// It is durable that this instance makes the attempt.
    pub(super) fn scheduled(mut self, number: InstanceNumber) -> InFlight {
        self.is_scheduled = true;
        self.log.show(number);
        self.pulse.schedule(number);
        InFlight { attempt: self.attempt, handle: self.handle.clone(), pulse: Arc::clone(&self.pulse) }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_scheduled {
            self.handle.abort();
        }
    }
}

fn hub_deleted(caller: &InstanceRecord) -> Failure {
    Failure::new("HubDeleted", format!("the task hub '{}' is being deleted", caller.hub))
}

fn idempotency_key(caller: &InstanceRecord, call: &ActivityCall) -> String {
    format!("{}:{}:{}", caller.execution_id, call.task, call.attempt)
}
