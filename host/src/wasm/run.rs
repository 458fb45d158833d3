//! Runs of guests: from the start of each to its end, in a fresh instance or, for an HTTP call, in one that has stayed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use durawasm_core::Failure;
use durawasm_core::model::{Fuel, Outcome};
use tokio::time::Sleep;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use super::bindings::exports::durable::functions::describe::App;
use super::convert;
use super::fuel;
use super::functions;
use super::guest::{Guest, Role};
use super::incoming;
use super::library::Loaded;
use super::limits::Limits;
use super::outcome::Ended;
use super::warm::{Answering, Owner, Warm};
use crate::engine::executor::{
    ActivityRun, FunctionAnswer, FunctionCall, FunctionEnd, FunctionRun, GuestRole, HostFault, HttpRequest,
    OrchestratorRun, RunEnd, Stops,
};
use crate::engine::session::Session;
use crate::net::egress::Egress;

/// How long a guest that somebody waits for waits for a place; and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// What every run needs.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) engine: Engine,
    pub(super) limits: Arc<Limits>,
    pub(super) egress: Arc<Egress>,
    pub(super) warm: Arc<Warm>,
}

/// A failure that no retry would mend: the component does not have what it should run.
fn absent(what: &str) -> Failure {
    Failure::new("FunctionNotFound", format!("the component exports no {what}")).non_retriable()
}

fn overdue(message: String) -> Failure {
    Failure::new("TimeLimit", message).non_retriable()
}

/// Runs a guest for at most `limit` from one wait of its session to the next. None: it took longer. A guest that waits has no
/// timer: many do.
async fn between_waits<T>(limit: Duration, session: &Session, run: impl Future<Output = T>) -> Option<T> {
    let (mut run, mut timer) = (pin!(run), pin!(None::<Sleep>));
    poll_fn(|context| {
        if let Poll::Ready(done) = run.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if session.is_blocked() {
            timer.set(None);
            return Poll::Pending;
        }
        if timer.is_none() {
            timer.set(Some(tokio::time::sleep(limit)));
        }
        match timer.as_mut().as_pin_mut().map(|timer| timer.poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(None),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await
}

/// What a function came to that was stopped.
fn stopped(error: &wasmtime::Error, store: &Store<Guest>, stops: &Stops) -> FunctionEnd {
    match Ended::from_error(error, store.data()) {
        Ended::Faulted => Err(HostFault::Broken("a client function has no session, but one refused it".to_owned())),
        Ended::Failed(failure) => {
            stops.count(GuestRole::Function, &failure.error_type);
            Ok(Err(failure))
        }
        Ended::Host(fault) => Err(fault),
    }
}

impl Stage {
    fn store(&self, role: Role, code: u64) -> Result<Store<Guest>, HostFault> {
        let store = Guest::store(&self.engine, (role, code), &self.limits, &self.egress);
        store.map_err(|error| HostFault::Broken(format!("{error:#}")))
    }

    /// Runs an orchestrator.
    pub(super) async fn orchestrate(&self, loaded: &Loaded, run: OrchestratorRun) -> RunEnd {
        let Some(orchestrator) = &loaded.orchestrator else { return RunEnd::failed(absent("orchestrators")) };
        let input = run.input.as_deref().map(str::to_owned);
        let stops = run.stops;
        let (session, code) = (Arc::clone(&run.session), fuel::code_of(&run.digest));
        let mut store = match self.store(Role::Orchestrator(run.session, run.share), code) {
            Ok(store) => store,
            Err(fault) => return RunEnd::Host(fault),
        };
        let called = async {
            let instance = self.instantiate(&loaded.repeatable, &mut store).await?;
            let guest = orchestrator.load(&mut store, &instance)?;
            guest.call_run(&mut store, &run.name, input.as_ref()).await
        };
        let called = between_waits(self.limits.episode_time, &session, called).await;
        let total = fuel::used(&store);
        let Some(called) = called else {
            session.stopped(total);
            let failure = overdue(format!("the orchestrator did not come to a wait in {:?}", self.limits.episode_time));
            stops.count(GuestRole::Orchestrator, &failure.error_type);
            return RunEnd::failed(failure);
        };
        match called {
            Ok(returned) => {
                session.spent(Fuel { total, code });
                RunEnd::Returned(convert::outcome(returned, self.limits.payload))
            }
            Err(error) => {
                session.stopped(total);
                match Ended::from_error(&error, store.data()) {
                    Ended::Faulted => RunEnd::Faulted,
                    Ended::Failed(failure) => {
                        stops.count(GuestRole::Orchestrator, &failure.error_type);
                        RunEnd::failed(failure)
                    }
                    Ended::Host(fault) => RunEnd::Host(fault),
                }
            }
        }
    }

    /// Runs an attempt of an activity, for as long as it may take.
    pub(super) async fn run_activity(&self, loaded: &Loaded, run: ActivityRun) -> Result<Outcome, HostFault> {
        let Some(activity) = &loaded.activity else { return Ok(Err(absent("activities"))) };
        let (name, input, timeout) = (run.name.clone(), run.input.as_deref().map(str::to_owned), run.timeout);
        let (stops, gauge) = (Arc::clone(&run.stops), Arc::clone(&run.fuel));
        let mut store = self.store(Role::Activity(Box::new(run)), 0)?;
        let called = async {
            let instance = self.instantiate(&loaded.real, &mut store).await?;
            let guest = activity.load(&mut store, &instance)?;
            guest.call_run(&mut store, &name, input.as_ref()).await
        };
        let called = tokio::time::timeout(timeout, called).await;
        gauge.tell(fuel::used(&store));
        let Ok(called) = called else {
            stops.count(GuestRole::Activity, "Timeout");
            return Ok(Err(Failure::new("Timeout", format!("activity '{name}' was stopped after {timeout:?}"))));
        };
        let outcome = match called {
            Ok(returned) => convert::outcome(returned, self.limits.payload),
            Err(error) => match Ended::from_error(&error, store.data()) {
                Ended::Faulted => {
                    return Err(HostFault::Broken("an activity has no session, but one refused it".to_owned()));
                }
                Ended::Failed(failure) => {
                    stops.count(GuestRole::Activity, &failure.error_type);
                    Err(failure)
                }
                Ended::Host(fault) => return Err(fault),
            },
        };
        Ok(outcome.map_err(|failure| match &store.data().reach {
            Some(reach) => reach.explain(failure),
            None => failure,
        }))
    }

    /// An instance in this store. When all places are taken, guests that only stay leave theirs to whoever tries next.
    async fn instantiate(&self, pre: &InstancePre<Guest>, store: &mut Store<Guest>) -> wasmtime::Result<Instance> {
        let made = pre.instantiate_async(store).await;
        if made.as_ref().is_err_and(|error| error.is::<PoolConcurrencyLimitError>()) {
            self.warm.clear();
        }
        made
    }

    /// A guest in this role. While all places are taken, it waits a little for one.
    async fn enter(
        &self,
        pre: &InstancePre<Guest>,
        mut role: Role,
    ) -> Result<(Store<Guest>, wasmtime::Result<Instance>), HostFault> {
        let began = Instant::now();
        loop {
            let mut store = self.store(role, 0)?;
            match self.instantiate(pre, &mut store).await {
                Err(error) if error.is::<PoolConcurrencyLimitError>() && began.elapsed() < PATIENCE => {
                    // What it has got already goes with its store.
                    role = store.into_data().role;
                }
                made => return Ok((store, made)),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs a call of an HTTP, manual or timer function.
    pub(super) async fn run_function(&self, loaded: &Loaded, (run, call): (FunctionRun, FunctionCall)) -> FunctionEnd {
        let call = match call {
            FunctionCall::Http(request) => return self.answer(loaded, run, request).await,
            call @ (FunctionCall::Streamed(_) | FunctionCall::Trigger(_)) => call,
        };
        let (name, stops) = (run.name.clone(), Arc::clone(&run.stops));
        let gauge = Arc::clone(&run.fuel);
        let (mut store, instance) = self.enter(&loaded.real, Role::Function(Box::new(run))).await?;
        let limit = self.limits.payload;
        let called = async {
            let instance = instance?;
            match (call, &loaded.trigger) {
                (FunctionCall::Streamed(call), _) => match &loaded.incoming {
                    Some(incoming) => {
                        let answered = incoming::answer(&mut store, &instance, (incoming, call)).await?;
                        Ok(answered.map(|()| FunctionAnswer::Streamed))
                    }
                    None => Ok(Err(absent("wasi:http/incoming-handler"))),
                },
                (FunctionCall::Trigger(input), Some(trigger)) => {
                    let guest = trigger.load(&mut store, &instance)?;
                    let input = input.as_deref().map(str::to_owned);
                    let answer = guest.call_run(&mut store, &name, input.as_ref()).await?;
                    Ok(convert::outcome(answer, limit).map(FunctionAnswer::Trigger))
                }
                (FunctionCall::Http(_) | FunctionCall::Trigger(_), _) => Ok(Err(absent("manual or timer functions"))),
            }
        };
        let called = called.await;
        gauge.tell(fuel::used(&store));
        called.or_else(|error| stopped(&error, &store, &stops))
    }

    /// Has a guest answer a request: one that has answered before, if one is there.
    async fn answer(&self, loaded: &Loaded, run: FunctionRun, request: HttpRequest) -> FunctionEnd {
        let Some(http) = &loaded.http else { return Ok(Err(absent("HTTP functions"))) };
        let (name, stops, gauge) = (run.name.clone(), Arc::clone(&run.stops), Arc::clone(&run.fuel));
        let owner = run.share.hub().map(|hub| Owner { hub, code: run.digest });
        let mut guest = match self.take_warm(owner.as_ref(), Role::Function(Box::new(run))) {
            Ok(guest) => guest,
            Err(role) => {
                let (mut store, made) = self.enter(&loaded.real, role).await?;
                match made.and_then(|instance| http.load(&mut store, &instance)) {
                    Ok(guest) => Answering { store, guest, answers: 0 },
                    Err(error) => {
                        gauge.tell(fuel::used(&store));
                        return stopped(&error, &store, &stops);
                    }
                }
            }
        };
        let answer = guest.guest.call_handle(&mut guest.store, &name, &functions::request(request)).await;
        gauge.tell(fuel::used(&guest.store));
        match answer {
            Ok(answer) => {
                if let Some(owner) = owner {
                    self.warm.keep(owner, guest);
                }
                Ok(functions::response(answer, self.limits.payload).map(FunctionAnswer::Http))
            }
            Err(error) => stopped(&error, &guest.store, &stops),
        }
    }

    /// A guest that has answered before. Otherwise the role comes back.
    fn take_warm(&self, owner: Option<&Owner>, role: Role) -> Result<Answering, Role> {
        let Some(mut guest) = owner.and_then(|owner| self.warm.take(owner)) else { return Err(role) };
        Guest::begin_again(&mut guest.store, role, &self.egress).map(|()| guest)
    }

    /// Asks a component what it holds; refuses one whose functions are not of the contract's types. While all places are taken,
    /// it waits a little for one.
    pub(super) async fn describe(&self, loaded: &Loaded) -> Result<Result<App, String>, Ended> {
        let began = Instant::now();
        loop {
            match self.describe_now(loaded).await {
                Err(Ended::Host(HostFault::Full(_))) if began.elapsed() < PATIENCE => {}
                described => return described,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn describe_now(&self, loaded: &Loaded) -> Result<Result<App, String>, Ended> {
        let mut store = self.store(Role::Describe, 0).map_err(Ended::Host)?;
        let pre: &InstancePre<Guest> = &loaded.repeatable;
        let called = async {
            let instance = self.instantiate(pre, &mut store).await?;
            if let Some(orchestrator) = &loaded.orchestrator {
                orchestrator.load(&mut store, &instance)?;
            }
            if let Some(activity) = &loaded.activity {
                activity.load(&mut store, &instance)?;
            }
            if let Some(http) = &loaded.http {
                http.load(&mut store, &instance)?;
            }
            if let Some(trigger) = &loaded.trigger {
                trigger.load(&mut store, &instance)?;
            }
            if let Some(incoming) = &loaded.incoming {
                incoming.load(&mut store, &instance)?;
            }
            let guest = loaded.describe.load(&mut store, &instance)?;
            guest.call_describe(&mut store).await
        };
        let limit = self.limits.describe_wall_time();
        let Ok(described) = tokio::time::timeout(limit, called).await else {
            return Err(Ended::Failed(overdue(format!("it did not return in {limit:?}"))));
        };
        described.map_err(|error| Ended::from_error(&error, store.data()))
    }
}
