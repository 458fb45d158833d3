//! From a decision to a commit: the instance's record and payloads as they are after it, and what is to be told to others.

use durawasm_core::decision::Decision;
use durawasm_core::{
    Effect, EventKind, ExecutionStarted, Message, Orchestration, Outgoing, Payload, State, Status, TaskId,
};

use super::Inner;
use super::episode::Live;
use super::session::Session;
use crate::store::{Commit, Expect, FunctionKind, InstanceRecord, Mail, MailId, NewMail, PayloadChanges, Pinned};

impl Inner {
    /// The commit for a decision, and what to do once it is durable. A fresh execution takes the place of one that
    /// continues as new. The commit takes this mail.
    pub(super) fn commit_of(
        &self,
        live: &mut Live,
        decision: Decision,
        (expect, mail_taken): (Expect, Vec<MailId>),
    ) -> (Commit, Vec<Effect>) {
        let mut record = InstanceRecord { updated: self.now(), ..live.record.clone() };
        let mut payloads = PayloadChanges { custom_status: decision.custom_status.clone(), ..Default::default() };
        let state = live.session.with(|orchestration| orchestration.state());
        let mut events = decision.events;
        let mut effects = decision.effects;
        let mail_sent = take_mail(&mut effects, &record);
        let fresh_history = matches!(state, State::ContinuedAsNew { .. });
        if let State::ContinuedAsNew { input, events: unread } = &state {
            payloads.input = Some(input.clone());
            // Of an execution before this one there may be the text of a failure or the reason of a suspension.
            payloads.output = Some(None);
            self.renew(&mut record, live, input.clone(), unread);
            events = live.session.with(Orchestration::take_decision).events;
            effects.retain(|effect| matches!(effect, Effect::ClearTimer { .. }));
        }
        if !fresh_history && events.iter().any(|event| changes_output(&event.kind)) {
            payloads.output = Some(live.session.with(|orchestration| output_of(&state, &record.name, orchestration)));
        }
        record.status = live.session.with(|orchestration| status_of(orchestration, record.generation));
        record.ready = live.session.with(|orchestration| orchestration.has_work_in_flight());
        let (timers_set, timers_cleared) = timers_of(&effects);
        let commit = Commit {
            expect,
            record,
            payloads,
            fresh_history,
            events,
            timers_set,
            timers_cleared,
            mail_sent,
            mail_taken,
            usage: std::mem::take(&mut live.used),
        };
        (commit, effects)
    }

    /// Replaces the ended execution by a fresh one, on the app's current version.
    fn renew(
        &self,
        record: &mut InstanceRecord,
        live: &mut Live,
        input: Option<Payload>,
        unread: &[(String, Option<Payload>)],
    ) {
        let now = self.now();
        record.generation += 1;
        record.execution_id = uuid::Uuid::now_v7().simple().to_string();
        let mut completes_early = false;
        if let Some(found) = self.apps.find(&record.hub, FunctionKind::Orchestrator, &record.name) {
            record.digest = found.digest;
            record.app = found.app;
            completes_early = found.options.completes_early;
        }
        let before = live.session.started();
        let awaited_by = live.session.with(|orchestration| orchestration.awaited_by().cloned());
        let started = ExecutionStarted {
            input,
            execution_id: record.execution_id.clone(),
            awaited_by,
            scheduled_at: None,
            completes_early,
            ..before
        };
        let mut orchestration = Orchestration::start(started, now);
        for (name, input) in unread {
            orchestration.deliver(Message::EventRaised { name: name.clone(), input: input.clone() }, now);
        }
        live.session = std::sync::Arc::new(Session::new(orchestration));
        live.guest = None;
    }
}

/// Takes the messages for other instances out of the effects: they become rows of the commit.
fn take_mail(effects: &mut Vec<Effect>, sender: &InstanceRecord) -> Vec<NewMail> {
    let pin = Pinned { app: sender.app.clone(), digest: sender.digest };
    let mut mail = Vec::new();
    for effect in std::mem::take(effects) {
        match effect {
            Effect::Send(Outgoing { to, letter }) => mail.push(NewMail { to, pin: Some(pin.clone()), letter }),
            Effect::RunActivity(_)
            | Effect::SetTimer { .. }
            | Effect::ClearTimer { .. }
            | Effect::CancelActivity { .. } => effects.push(effect),
        }
    }
    mail
}

/// What was sent, with the numbers that the store gave it.
pub(super) fn numbered(commit: &Commit) -> impl FnOnce(MailId) -> Vec<Mail> + use<> {
    let hub = commit.record.hub.clone();
    let sent = commit.mail_sent.clone();
    move |first| {
        let number = |(id, NewMail { to, pin, letter })| Mail { id: MailId(id), hub: hub.clone(), to, pin, letter };
        (first.0..).zip(sent).map(number).collect()
    }
}

fn status_of(orchestration: &Orchestration, generation: u32) -> Status {
    match orchestration.state() {
        State::Ended { status, .. } => status,
        State::Suspended { .. } => Status::Suspended,
        State::ContinuedAsNew { .. } => Status::Running,
        State::Running if orchestration.has_begun() || generation > 0 => Status::Running,
        State::Running => Status::Pending,
    }
}

fn changes_output(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::ExecutionSuspended { .. }
            | EventKind::ExecutionResumed { .. }
            | EventKind::ExecutionRewound { .. }
            | EventKind::ExecutionCompleted { .. }
    )
}

/// What the status shows as output (http-api.md 4): the result, the error's text, the reason.
fn output_of(state: &State, name: &str, orchestration: &Orchestration) -> Option<Payload> {
    let text = |text: &str| Some(Payload::from(serde_json::Value::from(text).to_string()));
    match state {
        State::Running | State::ContinuedAsNew { .. } => None,
        State::Suspended { reason } => reason.as_deref().and_then(text),
        State::Ended { outcome: Err(failure), .. } => {
            // What the code passes on unchanged is shown with the function that it came from, as the original does.
            let why = match orchestration.failed_call(failure) {
                Some((called, true)) => format!("The activity function '{called}' failed: \"{}\"", failure.message),
                Some((called, false)) => {
                    format!("The orchestrator function '{called}' failed: \"{}\"", failure.message)
                }
                None => failure.message.clone(),
            };
            text(&format!("Orchestrator function '{name}' failed: {why}"))
        }
        State::Ended { status: Status::Terminated, outcome: Ok(reason) } => reason.as_deref().and_then(text),
        State::Ended { outcome: Ok(result), .. } => result.clone(),
    }
}

type TimerRows = Vec<(TaskId, durawasm_core::Timestamp)>;

fn timers_of(effects: &[Effect]) -> (TimerRows, TimerRows) {
    let (mut set, mut cleared) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::SetTimer { task, due } => set.push((*task, *due)),
            Effect::ClearTimer { task, due } => cleared.push((*task, *due)),
            Effect::RunActivity(_) | Effect::CancelActivity { .. } | Effect::Send(_) => {}
        }
    }
    // Set and given up within one step: it never exists.
    set.retain(|timer| !cleared.contains(timer));
    (set, cleared)
}
