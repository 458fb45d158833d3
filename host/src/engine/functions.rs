//! Calls of HTTP, manual and timer functions: who answers, how many at once, for how long.

use std::sync::Arc;

use durawasm_core::{Failure, Payload};

use super::apps::Triggered;
use super::executor::{FunctionAnswer, FunctionCall, FunctionRun, HostFault, HttpRequest, HttpResponse, StreamedCall};
use super::guest_client::GuestClient;
use super::hubs::Busy;
use super::meters::{GuestRole, Kind};
use super::quota::QuotaExceeded;
use super::routes::RouteParams;
use super::spans::{Attribute, Open, SpanError, SpanKind, with_trace_parent};
use super::usage::FunctionMeter;
use super::{Engine, Inner};
use crate::store::{AuthLevel, Digest, HubName};

/// An HTTP function that answers a request.
#[derive(Clone, Debug)]
pub struct HttpFunction {
    pub(super) digest: Digest,
    /// Its name.
    pub name: String,
    /// Which key the request needs.
    pub level: AuthLevel,
    /// It is to be called with [`Engine::stream_http`].
    pub streams: bool,
    /// The request is a `HEAD` and the function takes `GET` only: it is to be called with that, and its body is left out.
    pub as_get: bool,
    /// The route's parameters.
    pub params: RouteParams,
}

/// Which function a request is for.
#[derive(Clone, Debug)]
pub enum HttpMatch {
    /// This one.
    Function(HttpFunction),
    /// None with this method; these functions answer others.
    OtherMethods(Vec<(HttpFunction, Vec<String>)>),
    /// No route has this form.
    Nothing,
}

/// Why a function did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FunctionError {
    /// There is no such function.
    #[error("there is no such function")]
    Unknown,
    /// It failed, or answered with what cannot be sent.
    #[error("the function failed: {0}")]
    Failed(Failure),
    /// It did not answer in time.
    #[error("the function did not answer in time")]
    Timeout,
    /// The hub is at one of its limits.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// Too many functions run already.
    #[error("too many functions run already")]
    Busy,
    /// The host could not run it.
    #[error(transparent)]
    Host(#[from] HostFault),
}

impl Engine {
    /// Finds the HTTP function for a path below the route prefix, split at its slashes, each part decoded.
    #[must_use]
    pub fn find_http(&self, hub: &HubName, method: &str, path: &[String]) -> HttpMatch {
        self.inner.apps.find_http(hub, method, path)
    }

    /// Lets an HTTP function answer a request.
    ///
    /// # Errors
    /// See [`FunctionError`].
    pub async fn call_http(
        &self,
        hub: &HubName,
        function: HttpFunction,
        request: HttpRequest,
    ) -> Result<HttpResponse, FunctionError> {
        let HttpFunction { digest, name, params, .. } = function;
        let call = FunctionCall::Http(HttpRequest { params, ..request });
        match self.inner.call(hub, (digest, name), call).await? {
            FunctionAnswer::Http(response) => Ok(response),
            FunctionAnswer::Streamed | FunctionAnswer::Trigger(_) => {
                Err(FunctionError::Host(HostFault::Broken("an answer of another kind".to_owned())))
            }
        }
    }

    /// Sets a manual function off, or a timer function out of turn, and does not wait for it; what becomes of it is logged.
    /// A timer function is given its status in place of the input, and its schedule goes on as it was.
    ///
    /// # Errors
    /// [`FunctionError::Unknown`].
    pub fn call_manual(&self, hub: &HubName, name: &str, input: Option<Payload>) -> Result<(), FunctionError> {
        let (digest, input) = match self.inner.apps.find_triggered(hub, name).ok_or(FunctionError::Unknown)? {
            Triggered::Manual(digest) => (digest, input),
            Triggered::Timer(digest, key) => (digest, self.inner.timer_status(&key)),
        };
        let (inner, hub, name) = (Arc::clone(&self.inner), hub.clone(), name.to_owned());
        tokio::spawn(async move {
            match inner.call(&hub, (digest, name.clone()), FunctionCall::Trigger(input)).await {
                Ok(_) => tracing::info!(function = name, "a function that was called by hand has returned"),
                Err(error) => tracing::warn!(function = name, %error, "a function that was called by hand has failed"),
            }
        });
        Ok(())
    }
}

impl Inner {
    pub(super) async fn call(
        self: &Arc<Self>,
        hub: &HubName,
        (digest, name): (Digest, String),
        call: FunctionCall,
    ) -> Result<FunctionAnswer, FunctionError> {
        let busy = self.hubs.enter(hub).ok_or(FunctionError::Unknown)?;
        let span = self.open_function(hub, &name, &call);
        let trace_parent = span.as_ref().and_then(Open::trace_parent);
        let answer = self.call_in((hub, &busy), (digest, name), call, trace_parent).await;
        if let Some(span) = span {
            tell(span, answer.as_ref());
        }
        answer
    }

    fn open_function(&self, hub: &HubName, name: &str, call: &FunctionCall) -> Option<Open> {
        self.settings.spans.as_ref()?;
        let request = match call {
            FunctionCall::Http(request) | FunctionCall::Streamed(StreamedCall { request, .. }) => Some(request),
            FunctionCall::Trigger(_) => None,
        };
        let headers = request.map(|request| request.headers.as_slice()).unwrap_or_default();
        let mut contexts = headers.iter().filter(|(name, _)| name == "traceparent");
        // Sent twice it says nothing reliable.
        let parent = contexts.next().filter(|_| contexts.next().is_none()).map(|(_, value)| value.trim());
        let mut span = self.open_span(SpanKind::Function, ("function", name), parent)?;
        span.add("durawasm.hub", Attribute::text(hub));
        if let Some(request) = request {
            span.add("http.request.method", Attribute::text(&request.method));
        }
        Some(span)
    }

    async fn call_in(
        self: &Arc<Self>,
        (hub, busy): (&HubName, &Busy),
        (digest, name): (Digest, String),
        call: FunctionCall,
        trace_parent: Option<String>,
    ) -> Result<FunctionAnswer, FunctionError> {
        busy.hub().check_fuel(self.now())?;
        self.check_memory(busy.hub())?;
        let mut turn = self.meters.turn(Kind::Function);
        // A queue without an end would only turn every answer into a timeout.
        // Those that stream may have to wait for their clients: they take no place from the others.
        let lanes = busy.hub().lanes();
        let place = match &call {
            FunctionCall::Streamed(_) => self.places.streams.acquire(&lanes.streams),
            FunctionCall::Http(_) | FunctionCall::Trigger(_) => self.places.functions.acquire(&lanes.functions),
        };
        let permit = tokio::time::timeout(self.settings.function_patience, place);
        let Ok(_permit) = permit.await else { return Err(FunctionError::Busy) };
        turn.begins();
        let timeout = self.settings.function_timeout;
        let client = GuestClient::new(self, hub).traced(trace_parent.clone());
        let client = match &call {
            FunctionCall::Http(request) | FunctionCall::Streamed(StreamedCall { request, .. }) => {
                client.answering(&request.origin)
            }
            FunctionCall::Trigger(_) => client,
        };
        let fuel = self.meters.burning(GuestRole::Function);
        let run = FunctionRun {
            digest,
            name,
            invocation_id: uuid::Uuid::now_v7().to_string(),
            env: with_trace_parent(busy.env(), trace_parent.as_deref()),
            client,
            stops: Arc::clone(&self.meters.stops),
            fuel: Arc::clone(&fuel.gauge),
            share: self.share(busy.hub()),
            timeout,
        };
        let _metered = FunctionMeter::new(self, busy.hub(), &run);
        let share = Arc::clone(&run.share);
        let run = self.places.slices.paced(&lanes.slices, self.executor.run_function(run, call));
        let run = self.threads.run_for(&lanes.slices, Box::pin(run));
        let ended = tokio::time::timeout(timeout, run).await;
        let ended = ended
            .map(|ended| ended.unwrap_or_else(|error| Err(HostFault::Broken(format!("it was interrupted: {error}")))));
        turn.ended(matches!(ended, Ok(Ok(Ok(_)))));
        match ended {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(failure))) => Err(FunctionError::Failed(failure)),
            Ok(Err(fault)) => Err(self.was_short(&share).map_or_else(|| fault.into(), FunctionError::Quota)),
            Err(_) => {
                self.meters.stops.count(GuestRole::Function, "Timeout");
                Err(FunctionError::Timeout)
            }
        }
    }
}

/// Ends the span of a call.
fn tell(mut span: Open, answer: Result<&FunctionAnswer, &FunctionError>) {
    let error = match answer {
        // How a response that streams began, its caller knows.
        Ok(FunctionAnswer::Trigger(_) | FunctionAnswer::Streamed) => None,
        Ok(FunctionAnswer::Http(response)) => {
            span.add("http.response.status_code", Attribute::Number(response.status.into()));
            (response.status >= 500).then(|| SpanError::new(&response.status.to_string(), ""))
        }
        Err(FunctionError::Failed(failure)) => Some(SpanError::of(failure)),
        Err(error @ FunctionError::Timeout) => Some(SpanError::new("Timeout", &error.to_string())),
        Err(error @ FunctionError::Quota(_)) => Some(SpanError::new("QuotaExceeded", &error.to_string())),
        Err(error @ FunctionError::Busy) => Some(SpanError::new("Busy", &error.to_string())),
        Err(error @ (FunctionError::Unknown | FunctionError::Host(_))) => {
            Some(SpanError::new("HostFault", &error.to_string()))
        }
    };
    span.ended(error);
}
