//! The pure core of durawasm: what an orchestration is, how its history replays, and what each step decides.
//!
//! Nothing here reads a clock, draws a random number, waits, logs or does I/O. Time and chance come in as arguments;
//! what is to be saved and sent goes out as a [`Decision`]. The engine saves it, then acts on it.
//!
//! The parts, in the order one meets them: [`model`] (names and values), [`history`] (what is recorded), [`command`]
//! (what a guest asks for), [`message`] (what reaches an instance), [`orchestration`] (replay and advance, one
//! machine for both), [`decision`] (what comes out).

pub mod command;
pub mod decision;
pub mod error;
mod guid;
pub mod history;
mod ledger;
pub mod message;
pub mod model;
pub mod orchestration;
pub mod retry;
pub mod timeline;

pub use command::{Command, Notice};
pub use decision::{ActivityCall, ChildStart, Decision, Effect, Letter, Outgoing, State};
pub use error::{GuestFault, NonDeterminism};
pub use history::{EventKind, ExecutionStarted, HistoryEvent};
pub use jiff::{SignedDuration, Timestamp};
pub use message::{Delivery, Message};
pub use model::{AwaitedBy, Cause, Failure, Fuel, InstanceId, Payload, RetryPolicy, Status, TaskId};
pub use orchestration::{Divergence, Orchestration, Rewind, RewindError, Stopped};
