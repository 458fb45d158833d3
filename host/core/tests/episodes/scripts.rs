//! Reads, runs and compares the scripts.

use std::fmt::Write;
use std::path::Path;

use durawasm_core::model::Outcome as Ended;
use durawasm_core::{
    AwaitedBy, Delivery, Effect, EventKind, Failure, HistoryEvent, Letter, Message, Outgoing, State, TaskId,
};

use crate::harness::{Instance, Outcome, Special};
use crate::program::{Program, Progress};

#[test]
fn every_script_decides_what_it_says_live_and_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/episodes/scripts");
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = std::fs::read_to_string(&path).unwrap();
        let live = transcript(&expected, false);
        assert_eq!(live, transcript(&expected, true), "{}: dropping the guest shows", path.display());
        if update {
            std::fs::write(&path, &live).unwrap();
        }
        assert!(update || live == expected, "{}:\n--- expected\n{expected}\n--- got\n{live}", path.display());
        count += 1;
    }
    assert!(count >= 12, "the scripts are gone: {count}");
}

fn transcript(script: &str, evicts: bool) -> String {
    let (head, _) = script.split_once("\n>").unwrap_or((script, ""));
    let mut programs = head.split("\n===\n").map(|text| {
        let steps = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Program(steps.map(str::to_owned).collect())
    });
    let first = programs.next().unwrap_or_default();
    let mut other = programs.next();
    let mut out = format!("{}\n", head.trim_end());
    let mut instance = None;
    for line in script.lines().filter(|line| line.starts_with('>')) {
        let _ = writeln!(out, "\n{line}");
        let words: Vec<&str> = line[1..].split_whitespace().collect();
        let outcome = match (&words[..], &mut instance) {
            (["start", special @ ..], none) => {
                let special = match special {
                    ["at", seconds] => Special { scheduled: seconds.parse().ok(), ..Special::default() },
                    ["as", "child"] => Special { child: true, ..Special::default() },
                    ["completing", "early"] => Special { completes_early: true, ..Special::default() },
                    _ => Special::default(),
                };
                let (new, outcome) = Instance::start_as(first.clone(), evicts, &special);
                *none = Some(new);
                Some(outcome)
            }
            (["after", seconds], Some(instance)) => {
                instance.advance(seconds.parse().unwrap());
                None
            }
            (["crash"], Some(instance)) => {
                instance.reload(None);
                None
            }
            (["other", "program"], Some(instance)) => {
                instance.reload(other.take());
                Some(instance.wake())
            }
            (["rewind", reason @ ..], Some(instance)) => {
                let outcome = instance.rewind((!reason.is_empty()).then(|| reason.join(" ")));
                if outcome.is_none() {
                    out.push_str("cannot be rewound\n");
                }
                outcome
            }
            (["due", task, "elsewhere"], Some(instance)) => {
                Some(instance.fire_for_another(TaskId(task.parse().unwrap())))
            }
            (["due", task], Some(instance)) => Some(instance.fire(TaskId(task.parse().unwrap()))),
            (words, Some(instance)) => Some(instance.deliver(message(words))),
            (words, None) => panic!("{words:?} before the start"),
        };
        if let (Some(outcome), Some(instance)) = (outcome, &instance) {
            say(&mut out, &outcome, instance);
        }
    }
    out
}

fn message(words: &[&str]) -> Message {
    let task = |text: &str| TaskId(text.parse().unwrap());
    let reason = |words: &[&str]| (!words.is_empty()).then(|| words.join(" "));
    match words {
        ["child", "done", number, rest @ ..] => Message::ChildEnded {
            task: task(number),
            attempt: attempt(rest),
            outcome: Ok(rest.first().map(|json| (*json).into())),
        },
        ["child", "failed", number, text, rest @ ..] => Message::ChildEnded {
            task: task(number),
            attempt: attempt(rest),
            outcome: Err(Failure::new("Error", *text)),
        },
        ["parent", "rewound"] => Message::ParentRewound {
            awaited_by: AwaitedBy { execution_id: "p-1".to_owned(), task: TaskId(4), attempt: 2 },
        },
        ["terminate", "recursive", words @ ..] => Message::Terminate { reason: reason(words), recursive: true },
        ["done", number, rest @ ..] => Message::ActivityEnded {
            task: task(number),
            attempt: attempt(rest),
            outcome: Ok(rest.first().map(|json| (*json).into())),
            heartbeat: None,
        },
        ["postponed", number, next, "until", due, rest @ ..] => Message::ActivityPostponed {
            task: task(number),
            attempt: attempt(rest),
            answer: Some("\"not yet\"".into()),
            next: (*next).into(),
            due: format!("2026-01-01T{due}Z").parse().unwrap(),
        },
        ["failed", number, text, rest @ ..] => Message::ActivityEnded {
            task: task(number),
            attempt: attempt(rest),
            outcome: Err(Failure::new("Error", *text)) as Ended,
            heartbeat: Some("\"half\"".into()),
        },
        ["raise", name, json] => Message::EventRaised { name: (*name).to_owned(), input: Some((*json).into()) },
        ["suspend", words @ ..] => Message::Suspend { reason: reason(words) },
        ["resume", words @ ..] => Message::Resume { reason: reason(words) },
        ["terminate", words @ ..] => Message::Terminate { reason: reason(words), recursive: false },
        _ => panic!("not a message: {words:?}"),
    }
}

/// `… attempt 2` at the end of a line; 1 otherwise.
fn attempt(words: &[&str]) -> u32 {
    match words {
        [.., "attempt", number] => number.parse().unwrap(),
        _ => 1,
    }
}

fn say(out: &mut String, outcome: &Outcome, instance: &Instance) {
    match outcome.delivery {
        Delivery::Recorded => {}
        Delivery::Stale => out.push_str("stale\n"),
        Delivery::Full => out.push_str("full\n"),
        Delivery::Ended => out.push_str("ended already\n"),
    }
    for event in &outcome.decision.events {
        let _ = writeln!(out, "event   {}", say_event(event));
    }
    for effect in &outcome.decision.effects {
        let _ = writeln!(out, "effect  {}", say_effect(effect));
    }
    for log in &outcome.logs {
        let _ = writeln!(out, "log     {log}");
    }
    // A replay sets it again to what it was, so it is said only when something is decided.
    if let Some(Some(status)) = &outcome.decision.custom_status
        && !outcome.decision.events.is_empty()
    {
        let _ = writeln!(out, "custom  {status}");
    }
    if let Some(Progress::Stopped(fault)) = &outcome.progress {
        let _ = writeln!(out, "stopped {fault}");
    }
    match instance.state() {
        State::Running => {}
        state @ (State::Suspended { .. } | State::Ended { .. } | State::ContinuedAsNew { .. }) => {
            let _ = writeln!(out, "state   {}", say_state(&state));
        }
    }
}

fn say_state(state: &State) -> String {
    match state {
        State::Running => "running".to_owned(),
        State::Suspended { reason } => format!("suspended {reason:?}"),
        State::Ended { status, outcome: Ok(result) } => format!("{status} {result:?}"),
        State::Ended { status, outcome: Err(failure) } => format!("{status} {}: {failure}", failure.error_type),
        State::ContinuedAsNew { input, events } => format!("continued as new {input:?} {events:?}"),
    }
}

fn say_effect(effect: &Effect) -> String {
    match effect {
        Effect::RunActivity(call) => {
            format!("run {} task {} attempt {} {:?}", call.name, call.task, call.attempt, call.input)
        }
        Effect::SetTimer { task, due } => format!("set timer {task} {due}"),
        Effect::ClearTimer { task, due } => format!("clear timer {task} {due}"),
        Effect::CancelActivity { task } => format!("cancel activity {task}"),
        Effect::Send(Outgoing { to, letter }) => format!("send to {to}: {}", say_letter(letter)),
    }
}

fn say_letter(letter: &Letter) -> String {
    match letter {
        Letter::StartChild(start) => {
            let awaited = start.awaited_by.as_ref().map_or("nobody waits".to_owned(), say_awaited);
            let again = if start.again { ", again" } else { "" };
            format!("start {} at depth {}, {awaited}{again}", start.name, start.depth)
        }
        Letter::ChildEnded { awaited_by, outcome: Ok(result) } => {
            format!("child ended {result:?}, {}", say_awaited(awaited_by))
        }
        Letter::ChildEnded { awaited_by, outcome: Err(failure) } => {
            format!("child failed {}: {failure}, {}", failure.error_type, say_awaited(awaited_by))
        }
        Letter::EventRaised { name, input } => format!("event {name} {input:?}"),
        Letter::Terminate { reason, .. } => format!("terminate {reason:?}"),
    }
}

fn say_awaited(awaited_by: &AwaitedBy) -> String {
    let AwaitedBy { execution_id, task, attempt } = awaited_by;
    format!("awaited by {execution_id} task {task} attempt {attempt}")
}

fn say_event(event: &HistoryEvent) -> String {
    let time = event.at.strftime("%H:%M:%S");
    let kind = match &event.kind {
        EventKind::ExecutionStarted(started) => format!("ExecutionStarted {}", started.name),
        EventKind::TaskScheduled { task, name, input, .. } => format!("TaskScheduled {task} {name} {input:?}"),
        EventKind::TaskAttemptFailed { task, attempt, failure, retry_at, .. } => {
            format!("TaskAttemptFailed {task} attempt {attempt} {failure}, again at {}", retry_at.strftime("%H:%M:%S"))
        }
        EventKind::TaskPostponed { task, attempt, next, due, .. } => {
            format!("TaskPostponed {task} attempt {attempt}, again at {} with {next}", due.strftime("%H:%M:%S"))
        }
        EventKind::TaskRetried { task, attempt, child: None } => format!("TaskRetried {task} attempt {attempt}"),
        EventKind::TaskRetried { task, attempt, child: Some(child) } => {
            format!("TaskRetried {task} attempt {attempt} as {child}")
        }
        EventKind::TaskCompleted { task, result } => format!("TaskCompleted {task} {result:?}"),
        EventKind::TaskFailed { task, failure } => format!("TaskFailed {task} {failure}"),
        EventKind::TimerCreated { task, fire_at } => format!("TimerCreated {task} {}", fire_at.strftime("%H:%M:%S")),
        EventKind::TimerFired { task } => format!("TimerFired {task}"),
        EventKind::EventAwaited { task, name } => format!("EventAwaited {task} {name}"),
        EventKind::EventRaised { name, input } => format!("EventRaised {name} {input:?}"),
        EventKind::TaskCanceled { task } => format!("TaskCanceled {task}"),
        EventKind::ExecutionSuspended { reason } => format!("ExecutionSuspended {reason:?}"),
        EventKind::ExecutionResumed { reason } => format!("ExecutionResumed {reason:?}"),
        EventKind::ExecutionTerminated { reason } => format!("ExecutionTerminated {reason:?}"),
        EventKind::OrchestratorReturned { .. } => "OrchestratorReturned".to_owned(),
        EventKind::SubOrchestrationCreated { task, instance_id, name, .. } => {
            format!("SubOrchestrationCreated {task} {name} as {instance_id}")
        }
        EventKind::SubOrchestrationStarted { instance_id, name, .. } => {
            format!("SubOrchestrationStarted {name} as {instance_id}")
        }
        EventKind::EventSent { instance_id, name, input } => format!("EventSent {name} {input:?} to {instance_id}"),
        EventKind::ScheduledTimeReached => "ScheduledTimeReached".to_owned(),
        EventKind::FailureDelivered { tasks, waits_served } => {
            let tasks: Vec<_> = tasks.iter().map(ToString::to_string).collect();
            format!("FailureDelivered of {} after {waits_served} waits", tasks.join(" "))
        }
        EventKind::ExecutionRewound { reason, cut, waits_served, again, .. } => {
            let again: Vec<_> = again.iter().map(ToString::to_string).collect();
            format!("ExecutionRewound {reason:?} to {cut} after {waits_served:?} waits, again {}", again.join(" "))
        }
        EventKind::ParentRewound { awaited_by } => format!("ParentRewound {}", say_awaited(awaited_by)),
        EventKind::EpisodeCompleted { waits_served, .. } => format!("EpisodeCompleted {waits_served} waits served"),
        EventKind::ExecutionMoved { from, to } => format!("ExecutionMoved from {from} to {to}"),
        EventKind::ExecutionCompleted { status, .. } => format!("ExecutionCompleted {status}"),
    };
    format!("{time} {kind}")
}
