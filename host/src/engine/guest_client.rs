//! The durable client as guests have it: the engine, seen from one hub.

use std::sync::Arc;

use durawasm_core::{HistoryEvent, InstanceId, Payload};

use super::client::{StartError, StartRequest};
use super::{Engine, Inner};
use crate::store::{HubName, HubRecord};

/// Manages the orchestrations of one hub. Cheap to clone.
#[derive(Clone)]
pub struct GuestClient {
    engine: Engine,
    hub: HubName,
    /// Of the request that is answered, if one is.
    origin: Option<Arc<str>>,
    /// W3C trace context of what uses it.
    trace_parent: Option<String>,
}

/// How the outside sees instances: implemented by the HTTP surface.
pub trait Outside: Send + Sync + 'static {
    /// The URLs by which an instance is managed, on this origin; none: on the server's public one.
    fn management_payload(&self, hub: &HubRecord, id: &str, origin: Option<&str>) -> ManagementPayload;

    /// The same as the answer to a start.
    fn check_status_response(&self, hub: &HubRecord, id: &str, origin: Option<&str>) -> CheckStatusResponse;

    /// A history as the management API shows it: a JSON array.
    fn history(&self, events: &[HistoryEvent], detail: HistoryDetail) -> Payload;
}

/// What of a history is shown beside names and times.
#[derive(Clone, Copy, Debug)]
pub struct HistoryDetail {
    /// Inputs.
    pub input: bool,
    /// Results.
    pub output: bool,
}

/// The URLs of an instance (http-api.md 10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the wire's")]
pub struct ManagementPayload {
    pub id: String,
    pub status_query_get_uri: String,
    pub send_event_post_uri: String,
    pub terminate_post_uri: String,
    pub rewind_post_uri: String,
    pub purge_history_delete_uri: String,
    pub restart_post_uri: String,
    pub suspend_post_uri: String,
    pub resume_post_uri: String,
}

/// The answer to a start (http-api.md 3): 202 with this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckStatusResponse {
    /// Where to ask for the instance.
    pub location: String,
    /// Seconds.
    pub retry_after: u32,
    /// The URLs of the instance as JSON.
    pub body: String,
}

impl GuestClient {
    pub(super) fn new(inner: &Arc<Inner>, hub: &HubName) -> Self {
        Self { engine: Engine { inner: Arc::clone(inner) }, hub: hub.clone(), origin: None, trace_parent: None }
    }

    /// The same for a function that answers a request: links have the origin by which the request came.
    pub(super) fn answering(self, origin: &str) -> Self {
        Self { origin: Some(Arc::from(origin)), ..self }
    }

    /// The same for what has a span.
    pub(super) fn traced(self, trace_parent: Option<String>) -> Self {
        Self { trace_parent, ..self }
    }

    /// W3C trace context of what uses it, for the instances that it starts.
    #[must_use]
    pub fn trace_parent(&self) -> Option<String> {
        self.trace_parent.clone()
    }

    /// The hub whose instances it manages.
    #[must_use]
    pub fn hub(&self) -> &HubName {
        &self.hub
    }

    /// The engine; every call of it names the hub.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts several instances, all or none.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_many(&self, requests: Vec<StartRequest>) -> Result<Vec<InstanceId>, StartError> {
        self.engine.start_many(requests).await
    }

    /// The URLs by which an instance is managed; empty while there is no HTTP surface.
    #[must_use]
    pub fn management_payload(&self, id: &str) -> ManagementPayload {
        match (self.engine.inner.outside.get(), self.engine.hub(&self.hub)) {
            (Some(outside), Some(hub)) => outside.management_payload(&hub, id, self.origin.as_deref()),
            (None, _) | (_, None) => ManagementPayload { id: id.to_owned(), ..ManagementPayload::default() },
        }
    }

    /// How whoever started an instance is answered; empty while there is no HTTP surface.
    #[must_use]
    pub fn check_status_response(&self, id: &str) -> CheckStatusResponse {
        match (self.engine.inner.outside.get(), self.engine.hub(&self.hub)) {
            (Some(outside), Some(hub)) => outside.check_status_response(&hub, id, self.origin.as_deref()),
            (None, _) | (_, None) => CheckStatusResponse::default(),
        }
    }

    /// A history as the management API shows it.
    #[must_use]
    pub fn history(&self, events: &[HistoryEvent], detail: HistoryDetail) -> Option<Payload> {
        self.engine.inner.outside.get().map(|outside| outside.history(events, detail))
    }
}
