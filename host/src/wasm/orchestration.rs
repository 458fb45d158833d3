//! The host functions of `durable:functions`: what orchestrators and activities can call.

use std::sync::Arc;

use durawasm_core::{Command, Notice, TaskId};
use wasmtime::component::HasData;

use super::bindings::durable::functions::{activity_context, function_context, orchestration, types};
use super::convert;
use super::guest::{Guest, Role, Stop, fail};
use super::limits::{HEARTBEAT, TASKS};
use crate::engine::executor::{ActivityRun, FunctionRun};
use crate::engine::guest_client::GuestClient;
use crate::engine::session::Session;

/// Selects a guest's durable side in a linker.
pub(super) struct Durable;

impl HasData for Durable {
    type Data<'a> = DurableView<'a>;
}

/// A guest seen by the durable host functions.
pub(super) struct DurableView<'a>(pub(super) &'a mut Guest);

impl DurableView<'_> {
    /// The session, for a function that only orchestrators may call. Importing is not calling: every component may
    /// import it.
    fn session(&self, function: &str) -> wasmtime::Result<&Arc<Session>> {
        self.0.count_call()?;
        let (role, instead) = match &self.0.role {
            Role::Orchestrator(session, _) => return Ok(session),
            Role::Activity(_) => ("an activity", "do it in the orchestrator and pass the activity what it needs"),
            Role::Function(_) => ("a client function", "start an orchestrator for it with the durable client"),
            Role::Describe => ("describe", "describe only says what the app holds"),
        };
        Err(fail("NotAllowed", format!("{function} works in orchestrators only, and {role} called it: {instead}")))
    }

    /// The call, for a function that only activities may call.
    fn activity(&self, function: &str) -> wasmtime::Result<&ActivityRun> {
        let role = match &self.0.role {
            Role::Activity(run) => return Ok(run),
            Role::Orchestrator(..) => "an orchestrator",
            Role::Function(_) => "a client function",
            Role::Describe => "describe",
        };
        Err(fail("NotAllowed", format!("{function} works in activities only, and {role} called it")))
    }

    /// The call, for a function that only HTTP, manual and timer functions may call.
    fn function(&self, function: &str) -> wasmtime::Result<&FunctionRun> {
        let role = match &self.0.role {
            Role::Function(run) => return Ok(run),
            Role::Orchestrator(..) => "an orchestrator",
            Role::Activity(_) => "an activity",
            Role::Describe => "describe",
        };
        Err(fail("NotAllowed", format!("{function} works in client functions only, and {role} called it")))
    }

    /// The durable client, which orchestrators may not use: what they do is replayed.
    pub(super) async fn client(&mut self, function: &str) -> wasmtime::Result<GuestClient> {
        let (role, instead) = match &self.0.role {
            Role::Activity(run) => {
                let (client, pulse) = (run.client.clone(), Arc::clone(&run.pulse));
                pulse.scheduled().await;
                return Ok(client);
            }
            Role::Function(run) => return Ok(run.client.clone()),
            Role::Orchestrator(..) => {
                ("an orchestrator", "use its own calls for sub-orchestrations and events, or do it in an activity")
            }
            Role::Describe => ("describe", "describe only says what the app holds"),
        };
        Err(fail(
            "NotAllowed",
            format!("client.{function} works in activities and client functions, and {role} called it: {instead}"),
        ))
    }

    fn call(&self, function: &str, command: Command) -> wasmtime::Result<types::Task> {
        let task = self.session(function)?.call(command).map_err(|_| Stop::Faulted)?;
        Ok(task.0)
    }

    fn notify(&self, function: &str, notice: Notice) -> wasmtime::Result<String> {
        let instance_id = self.session(function)?.notify(notice).map_err(|_| Stop::Faulted)?;
        Ok(instance_id.to_string())
    }
}

fn task_ids(tasks: &[types::Task]) -> wasmtime::Result<Vec<TaskId>> {
    if tasks.len() > TASKS {
        return Err(fail("LimitExceeded", format!("a wait for {} tasks; the limit is {TASKS}", tasks.len())));
    }
    Ok(tasks.iter().map(|task| TaskId(*task)).collect())
}

impl types::Host for DurableView<'_> {}

impl orchestration::Host for DurableView<'_> {
    fn instance(&mut self) -> wasmtime::Result<orchestration::InstanceInfo> {
        let started = self.session("orchestration.instance")?.started();
        Ok(orchestration::InstanceInfo {
            instance_id: started.instance_id.to_string(),
            execution_id: started.execution_id,
            parent_instance_id: started.parent_instance_id.map(|id| id.to_string()),
            name: started.name,
            version: started.version,
            tags: started.tags.into_iter().map(|(name, value)| types::Tag { name, value }).collect(),
        })
    }

    fn call_activity(
        &mut self,
        name: String,
        input: Option<types::Json>,
        options: orchestration::ActivityOptions,
    ) -> wasmtime::Result<types::Task> {
        let command = convert::call_activity(name, input, options, self.0.limits.payload)?;
        self.call("orchestration.call-activity", command)
    }

    fn call_http(
        &mut self,
        call: orchestration::HttpCall,
        options: orchestration::HttpOptions,
    ) -> wasmtime::Result<types::Task> {
        let command = convert::call_http(call, options, self.0.limits.payload)?;
        self.call("orchestration.call-http", command)
    }

    fn call_sub_orchestration(
        &mut self,
        name: String,
        input: Option<types::Json>,
        options: orchestration::SubOrchestrationOptions,
    ) -> wasmtime::Result<types::Task> {
        let command = convert::call_sub_orchestration(name, input, options, self.0.limits.payload)?;
        self.call("orchestration.call-sub-orchestration", command)
    }

    fn start_sub_orchestration(
        &mut self,
        name: String,
        input: Option<types::Json>,
        options: orchestration::SubOrchestrationOptions,
    ) -> wasmtime::Result<String> {
        let notice = convert::start_sub_orchestration(name, input, options, self.0.limits.payload)?;
        self.notify("orchestration.start-sub-orchestration", notice)
    }

    fn create_timer(&mut self, fire_at: String) -> wasmtime::Result<types::Task> {
        let fire_at = convert::timestamp(&fire_at)?;
        self.call("orchestration.create-timer", Command::CreateTimer { fire_at })
    }

    fn wait_for_event(&mut self, name: String) -> wasmtime::Result<types::Task> {
        let name = convert::name("an event", name)?;
        self.call("orchestration.wait-for-event", Command::AwaitEvent { name })
    }

    fn cancel(&mut self, task: types::Task) -> wasmtime::Result<()> {
        Ok(self.session("orchestration.cancel")?.cancel(TaskId(task)).map_err(|_| Stop::Faulted)?)
    }

    async fn when_any(&mut self, tasks: Vec<types::Task>) -> wasmtime::Result<types::Task> {
        let session = Arc::clone(self.session("orchestration.when-any")?);
        let tasks = task_ids(&tasks)?;
        let task = self.0.wait(|| session.when_any(&tasks)).await?;
        Ok(task.0)
    }

    async fn when_all(&mut self, tasks: Vec<types::Task>) -> wasmtime::Result<()> {
        let session = Arc::clone(self.session("orchestration.when-all")?);
        let tasks = task_ids(&tasks)?;
        self.0.wait(|| Ok(session.when_all(&tasks)?.then_some(()))).await
    }

    fn get_result(&mut self, task: types::Task) -> wasmtime::Result<convert::GuestOutcome> {
        let outcome = self.session("orchestration.get-result")?.result(TaskId(task)).map_err(|_| Stop::Faulted)?;
        Ok(convert::outcome_out(outcome))
    }

    fn current_time(&mut self) -> wasmtime::Result<String> {
        Ok(format!("{:.6}", self.session("orchestration.current-time")?.now()))
    }

    fn new_guid(&mut self) -> wasmtime::Result<String> {
        Ok(self.session("orchestration.new-guid")?.new_guid().to_string())
    }

    fn set_custom_status(&mut self, status: Option<types::Json>) -> wasmtime::Result<()> {
        let status = convert::custom_status(status, self.0.limits.payload)?;
        self.session("orchestration.set-custom-status")?.set_custom_status(status);
        Ok(())
    }

    fn send_event(&mut self, instance_id: String, name: String, data: Option<types::Json>) -> wasmtime::Result<()> {
        let notice = convert::send_event(instance_id, name, data, self.0.limits.payload)?;
        self.notify("orchestration.send-event", notice)?;
        Ok(())
    }

    fn continue_as_new(&mut self, input: Option<types::Json>, keep_events: bool) -> wasmtime::Result<()> {
        let input = convert::payload("the next execution's input", input, self.0.limits.payload)?;
        self.session("orchestration.continue-as-new")?.continue_as_new(input, keep_events);
        Ok(())
    }

    fn log(&mut self, level: types::LogLevel, message: String) -> wasmtime::Result<()> {
        self.session("orchestration.log")?;
        self.0.log.line(convert::level(level), &message);
        Ok(())
    }
}

impl activity_context::Host for DurableView<'_> {
    fn info(&mut self) -> wasmtime::Result<activity_context::ActivityInfo> {
        let run = self.activity("activity-context.info")?;
        Ok(activity_context::ActivityInfo {
            instance_id: run.instance_id.to_string(),
            name: run.name.clone(),
            task: run.task,
            attempt: run.attempt,
            idempotency_key: run.idempotency_key.clone(),
            last_heartbeat: run.last_heartbeat.as_deref().map(str::to_owned),
        })
    }

    fn heartbeat(&mut self, details: Option<types::Json>) -> wasmtime::Result<bool> {
        let details = convert::payload("the heartbeat's details", details, HEARTBEAT)?;
        Ok(self.activity("activity-context.heartbeat")?.pulse.beat(details))
    }

    fn log(&mut self, level: types::LogLevel, message: String) -> wasmtime::Result<()> {
        self.activity("activity-context.log")?;
        self.0.log.line(convert::level(level), &message);
        Ok(())
    }
}

impl function_context::Host for DurableView<'_> {
    fn info(&mut self) -> wasmtime::Result<function_context::FunctionInfo> {
        let run = self.function("function-context.info")?;
        Ok(function_context::FunctionInfo {
            name: run.name.clone(),
            invocation_id: run.invocation_id.clone(),
            hub: run.client.hub().to_string(),
        })
    }

    fn log(&mut self, level: types::LogLevel, message: String) -> wasmtime::Result<()> {
        self.function("function-context.log")?;
        self.0.log.line(convert::level(level), &message);
        Ok(())
    }
}
