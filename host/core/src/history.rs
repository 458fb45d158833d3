//! What is recorded of an execution. The history is the truth: everything else is computed from it.

use jiff::Timestamp;

use crate::model::{AwaitedBy, Failure, Fuel, InstanceId, Outcome, Payload, RetryPolicy, Status, Tags, TaskId};

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// Never earlier than the event before it.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// The first event of every execution: all that the code gets to know about its start.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionStarted {
    /// The orchestrator function.
    pub name: String,
    /// The instance.
    pub instance_id: InstanceId,
    /// A new one for every execution of the instance; 32 hex digits.
    pub execution_id: String,
    /// What it was started with.
    pub input: Option<Payload>,
    /// Who started it as a sub-orchestration.
    pub parent_instance_id: Option<InstanceId>,
    /// The version label.
    pub version: Option<String>,
    /// Tags given at the start.
    pub tags: Tags,
    /// W3C trace context of the caller.
    pub trace_parent: Option<String>,
    /// What tracing systems have to say beside it, as it came.
    pub trace_state: Option<String>,
    /// The call of the parent that waits for the outcome; none: nobody waits.
    pub awaited_by: Option<AwaitedBy>,
    /// How many levels of parents it has.
    pub depth: u32,
    /// No code runs before this time.
    pub scheduled_at: Option<Timestamp>,
    /// The app's choice that what a returned orchestrator left open does not keep it running.
    pub completes_early: bool,
}

/// What can happen. Events marked *(command)* are the orchestrator's own doing: a replay must issue them again, in
/// this order.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The execution began.
    ExecutionStarted(Box<ExecutionStarted>),
    /// *(command)* An activity was called.
    TaskScheduled {
        /// Its handle.
        task: TaskId,
        /// The activity function.
        name: String,
        /// What it was called with.
        input: Option<Payload>,
        /// How it is tried again.
        retry: Option<RetryPolicy>,
        /// Milliseconds an attempt may take.
        timeout_ms: Option<f64>,
        /// Tags of the call.
        tags: Tags,
    },
    /// An attempt failed and the retry policy will try again.
    TaskAttemptFailed {
        /// The call.
        task: TaskId,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next attempt starts.
        retry_at: Timestamp,
        /// What the attempt reported with its last heartbeat.
        heartbeat: Option<Payload>,
    },
    /// An attempt was answered with "not yet": the next one asks again, with another input. The retry policy begins
    /// anew with it.
    TaskPostponed {
        /// The call.
        task: TaskId,
        /// Which attempt was answered, from 1.
        attempt: u32,
        /// The answer, for people.
        answer: Option<Payload>,
        /// What the attempts from the next one on are called with.
        next: Payload,
        /// When the next attempt starts.
        due: Timestamp,
    },
    /// The wait before a further attempt is over.
    TaskRetried {
        /// The call.
        task: TaskId,
        /// The attempt that starts now.
        attempt: u32,
        /// Its instance, when it is one of a sub-orchestration.
        child: Option<InstanceId>,
    },
    /// *(command)* An orchestrator was called as a child.
    SubOrchestrationCreated {
        /// The call's handle.
        task: TaskId,
        /// The child's instance id at its first attempt.
        instance_id: InstanceId,
        /// True: the code chose the id, and further attempts have it as well. False: each has one of its own.
        chosen_id: bool,
        /// The orchestrator function.
        name: String,
        /// What it was called with.
        input: Option<Payload>,
        /// How it is tried again.
        retry: Option<RetryPolicy>,
        /// The version label asked for.
        version: Option<String>,
        /// Tags of the child.
        tags: Tags,
    },
    /// *(command)* An orchestrator was started as a child that nobody waits for.
    SubOrchestrationStarted {
        /// The child.
        instance_id: InstanceId,
        /// The orchestrator function.
        name: String,
        /// What it was started with.
        input: Option<Payload>,
        /// The version label asked for.
        version: Option<String>,
        /// Tags of the child.
        tags: Tags,
    },
    /// *(command)* An event was raised on another instance.
    EventSent {
        /// Which.
        instance_id: InstanceId,
        /// The event's name.
        name: String,
        /// What goes with it.
        input: Option<Payload>,
    },
    /// An activity or a child returned.
    TaskCompleted {
        /// The call.
        task: TaskId,
        /// What it returned.
        result: Option<Payload>,
    },
    /// An activity or a child failed for good.
    TaskFailed {
        /// The call.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// *(command)* A durable timer was set.
    TimerCreated {
        /// Its handle.
        task: TaskId,
        /// When it fires.
        fire_at: Timestamp,
    },
    /// A timer fired.
    TimerFired {
        /// The timer.
        task: TaskId,
    },
    /// *(command)* The orchestrator waits for an external event.
    EventAwaited {
        /// The wait's handle.
        task: TaskId,
        /// The event's name as the orchestrator wrote it.
        name: String,
    },
    /// An external event arrived; whether somebody waited follows from the events before.
    EventRaised {
        /// The event's name as the sender wrote it.
        name: String,
        /// What came with it.
        input: Option<Payload>,
    },
    /// *(command)* The orchestrator gave a task up.
    TaskCanceled {
        /// Which.
        task: TaskId,
    },
    /// The code stands still from here on.
    ExecutionSuspended {
        /// Why.
        reason: Option<String>,
    },
    /// The code goes on.
    ExecutionResumed {
        /// Why.
        reason: Option<String>,
    },
    /// Ended from outside.
    ExecutionTerminated {
        /// Why.
        reason: Option<String>,
    },
    /// *(command)* The orchestrator function returned; the execution ends once nothing holds it any more.
    OrchestratorReturned {
        /// What it came to.
        ending: Ending,
        /// All that it had used by then; none: it was not counted, or the host stopped it.
        fuel: Option<Fuel>,
    },
    /// The time that the start was scheduled for has come; the code runs from here on.
    ScheduledTimeReached,
    /// A wait is about to hand failures to the code. What a rewind may go back to: everything before this event was
    /// decided without knowing of them.
    FailureDelivered {
        /// The failed tasks.
        tasks: Vec<TaskId>,
        /// How many waits had been served before this one.
        waits_served: u32,
    },
    /// A failed execution goes on from an earlier place. Nothing is removed: what is set aside follows from the fields.
    ExecutionRewound {
        /// Why.
        reason: Option<String>,
        /// Position in the history: commands from here on are set aside; what came from outside stays if it is for
        /// something made before.
        cut: u32,
        /// How many waits the code had been served by then; none: it had not waited yet.
        waits_served: Option<u32>,
        /// Failed calls from before the cut that run again, their failures set aside.
        again: Vec<TaskId>,
        /// The parent's call that waits now, if the parent was rewound.
        awaited_by: Option<AwaitedBy>,
    },
    /// The parent was rewound while this execution went on: another call of it waits now.
    ParentRewound {
        /// Which.
        awaited_by: AwaitedBy,
    },
    /// The code is another one from here on, which was found to repeat all that is recorded.
    ExecutionMoved {
        /// The version before, as the engine writes versions.
        from: String,
        /// The version from here on.
        to: String,
    },
    /// The orchestrator ran up to the place where it waits (or to its end).
    EpisodeCompleted {
        /// How many of its waits had been served by then: what a replay has already seen, and must not log again.
        waits_served: u32,
        /// All that it had used by then; none: it was not counted, or it has returned.
        fuel: Option<Fuel>,
    },
    /// The execution is over.
    ExecutionCompleted {
        /// Completed, Failed, Terminated or ContinuedAsNew.
        status: Status,
        /// The output, or the failure.
        outcome: Outcome,
    },
}

/// How an orchestrator function ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It returned, or failed.
    Returned(Outcome),
    /// It asked for a fresh execution.
    ContinuedAsNew {
        /// The next execution's input.
        input: Option<Payload>,
        /// Whether unprocessed events go along.
        keep_events: bool,
    },
}
