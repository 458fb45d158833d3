//! x
use jiff::Timestamp;
use crate::{command::Command, error::GuestFault, history::ExecutionStarted, model::{Outcome, Payload, TaskId}};
/// x
pub struct Orchestration {}
#[allow(missing_docs, clippy::all, reason = "x")]
impl Orchestration {
    pub fn call(&mut self, _c: Command) -> Result<TaskId, GuestFault> { unimplemented!() }
    pub fn cancel(&mut self, _t: TaskId) -> Result<(), GuestFault> { unimplemented!() }
    pub fn when_any(&mut self, _t: &[TaskId]) -> Result<Option<TaskId>, GuestFault> { unimplemented!() }
    pub fn when_all(&mut self, _t: &[TaskId]) -> Result<bool, GuestFault> { unimplemented!() }
    pub fn result(&self, _t: TaskId) -> Result<Outcome, GuestFault> { unimplemented!() }
    pub fn now(&self) -> Timestamp { unimplemented!() }
    pub fn new_guid(&mut self) -> uuid::Uuid { unimplemented!() }
    pub fn set_custom_status(&mut self, _s: Option<Payload>) { unimplemented!() }
    pub fn continue_as_new(&mut self, _i: Option<Payload>, _k: bool) { unimplemented!() }
    pub fn is_replaying(&self) -> bool { unimplemented!() }
    pub fn started(&self) -> &ExecutionStarted { unimplemented!() }
}
