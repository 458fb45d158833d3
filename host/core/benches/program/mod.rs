//! A guest that calls one activity after the other, without Wasm: what is left is the core.

use durawasm_core::model::Tags;
use durawasm_core::{
    Command, Delivery, ExecutionStarted, GuestFault, HistoryEvent, Message, Orchestration, TaskId, Timestamp,
};

/// Events that a step leaves: scheduled, episode completed, completed.
const EVENTS_A_STEP: usize = 3;
const RESULT: &str = r#""Hello Tokyo!""#;

/// The history, about `events` long, of an execution that waits for its next activity.
pub(crate) fn history(events: usize) -> Vec<HistoryEvent> {
    let started = ExecutionStarted {
        name: "Sequence".to_owned(),
        instance_id: "i".into(),
        execution_id: "e".to_owned(),
        input: None,
        parent_instance_id: None,
        version: None,
        tags: Tags::new(),
        trace_parent: None,
        trace_state: None,
        awaited_by: None,
        depth: 0,
        scheduled_at: None,
        completes_early: false,
    };
    let mut execution = Orchestration::start(started, Timestamp::UNIX_EPOCH);
    let mut history = Vec::new();
    let mut step = next_step(&mut execution, 0).expect("a live guest may call");
    execution.end_episode();
    history.extend(execution.take_decision().events);
    while history.len() + EVENTS_A_STEP <= events {
        step = episode(&mut execution, step);
        history.extend(execution.take_decision().events);
    }
    history
}

/// Replays a history and its guest, to where the guest waits; gives the execution and the task it waits for.
pub(crate) fn replay(history: &[HistoryEvent]) -> (Orchestration, u32) {
    let mut execution = Orchestration::replay(history).expect("the history was made here");
    let waiting = next_step(&mut execution, 0).expect("the guest is the same");
    (execution, waiting)
}

/// One episode: the activity that the guest waits for ends, and the guest calls the next one.
pub(crate) fn episode(execution: &mut Orchestration, waiting: u32) -> u32 {
    let outcome = Ok(Some(RESULT.into()));
    let ended = Message::ActivityEnded { task: TaskId(waiting), attempt: 1, outcome, heartbeat: None };
    execution.begin_episode(Timestamp::UNIX_EPOCH);
    assert_eq!(execution.deliver(ended, Timestamp::UNIX_EPOCH), Delivery::Recorded);
    execution.when_any(&[TaskId(waiting)]).expect("the guest waits for it");
    execution.result(TaskId(waiting)).expect("it was delivered").expect("it succeeded");
    let next = next_step(execution, waiting).expect("a live guest may call");
    execution.end_episode();
    next
}

/// Lets the guest run from after this task to the next wait that is not served.
fn next_step(execution: &mut Orchestration, after: u32) -> Result<u32, GuestFault> {
    let mut made = after;
    loop {
        let task = execution.call(Command::CallActivity {
            name: "SayHello".to_owned(),
            input: Some(r#""Tokyo""#.into()),
            retry: None,
            timeout_ms: None,
            tags: Tags::new(),
        })?;
        made += 1;
        assert_eq!(task, TaskId(made));
        match execution.when_any(&[task])? {
            Some(_) => drop(execution.result(task)?),
            None => return Ok(made),
        }
    }
}
