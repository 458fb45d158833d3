//! Runs of guests: a fresh instance each, from its start to its end.

use std::sync::Arc;

use durawasm_core::Failure;
use durawasm_core::model::Outcome;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::bindings::exports::durable::functions::describe::App;
use super::convert;
use super::guest::{Guest, Role};
use super::library::Loaded;
use super::limits::Limits;
use super::outcome::Ended;
use crate::engine::executor::{ActivityRun, HostFault, OrchestratorRun, RunEnd};

/// What every run needs.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) engine: Engine,
    pub(super) limits: Arc<Limits>,
}

/// A failure that no retry would mend: the component does not have what it should run.
fn absent(what: &str) -> Failure {
    Failure::new("FunctionNotFound", format!("the component exports no {what}")).non_retriable()
}

impl Stage {
    fn store(&self, role: Role) -> Store<Guest> {
        Guest::store(&self.engine, role, &self.limits)
    }

    /// Runs an orchestrator.
    pub(super) async fn orchestrate(&self, loaded: &Loaded, run: OrchestratorRun) -> RunEnd {
        let Some(orchestrator) = &loaded.orchestrator else { return RunEnd::failed(absent("orchestrators")) };
        let input = run.input.as_deref().map(str::to_owned);
        let mut store = self.store(Role::Orchestrator(run.session));
        let called = async {
            let instance = loaded.repeatable.instantiate_async(&mut store).await?;
            let guest = orchestrator.load(&mut store, &instance)?;
            guest.call_run(&mut store, &run.name, input.as_ref()).await
        };
        match called.await {
            Ok(returned) => RunEnd::Returned(convert::outcome(returned, self.limits.payload)),
            Err(error) => match Ended::from_error(&error, store.data()) {
                Ended::Faulted => RunEnd::Faulted,
                Ended::Failed(failure) => RunEnd::failed(failure),
                Ended::Host(fault) => RunEnd::Host(fault),
            },
        }
    }

    /// Runs an attempt of an activity, for as long as it may take.
    pub(super) async fn run_activity(&self, loaded: &Loaded, run: ActivityRun) -> Result<Outcome, HostFault> {
        let Some(activity) = &loaded.activity else { return Ok(Err(absent("activities"))) };
        let (name, input, timeout) = (run.name.clone(), run.input.as_deref().map(str::to_owned), run.timeout);
        let mut store = self.store(Role::Activity(Box::new(run)));
        let called = async {
            let instance = loaded.real.instantiate_async(&mut store).await?;
            let guest = activity.load(&mut store, &instance)?;
            guest.call_run(&mut store, &name, input.as_ref()).await
        };
        let Ok(called) = tokio::time::timeout(timeout, called).await else {
            return Ok(Err(Failure::new("Timeout", format!("activity '{name}' was stopped after {timeout:?}"))));
        };
        match called {
            Ok(returned) => Ok(convert::outcome(returned, self.limits.payload)),
            Err(error) => match Ended::from_error(&error, store.data()) {
                Ended::Faulted => Err(HostFault("an activity has no session, but one refused it".to_owned())),
                Ended::Failed(failure) => Ok(Err(failure)),
                Ended::Host(fault) => Err(fault),
            },
        }
    }

    /// Asks a component what it holds; refuses one whose functions are not of the contract's types.
    pub(super) async fn describe(&self, loaded: &Loaded) -> Result<Result<App, String>, Ended> {
        let mut store = self.store(Role::Describe);
        let pre: &InstancePre<Guest> = &loaded.repeatable;
        let called = async {
            let instance = pre.instantiate_async(&mut store).await?;
            if let Some(orchestrator) = &loaded.orchestrator {
                orchestrator.load(&mut store, &instance)?;
            }
            if let Some(activity) = &loaded.activity {
                activity.load(&mut store, &instance)?;
            }
            let guest = loaded.describe.load(&mut store, &instance)?;
            guest.call_describe(&mut store).await
        };
        let described = called.await;
        described.map_err(|error| Ended::from_error(&error, store.data()))
    }
}
