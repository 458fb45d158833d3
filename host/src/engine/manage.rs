//! What changes a running or ended instance from outside.

use durawasm_core::{InstanceId, Message, Rewind, Status};

use super::Engine;
use super::actor::Content;
use super::client::{Parts, RestartError, Reuse, SendError, StartRequest};
use crate::store::HubName;

impl Engine {
    /// Delivers a message (event, suspend, resume, terminate); durable on return. Suspending what is suspended and
    /// resuming what is not change nothing and are no errors.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, hub: &HubName, id: &str, message: Message) -> Result<(), SendError> {
        loop {
            let Some(record) = self.inner.store.instance(hub, id).await? else { return Err(SendError::Unknown) };
            self.inner.starting.ended(hub, &record.id).await;
            if record.status.is_terminal() {
                return Err(SendError::Ended);
            }
            match self.inner.deliver(record.number, Content::Message(message.clone())).await {
                // Gone in between: the id may have a new instance, and then "not there" was never true.
                Err(SendError::Unknown) => {}
                other => return other,
            }
        }
    }

    /// Lets a failed instance go on from before its failure: what failed runs again, what had succeeded stays. Failed
    /// sub-orchestrations are rewound, too. Durable on return.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn rewind(&self, hub: &HubName, id: &str, reason: Option<String>) -> Result<(), SendError> {
        loop {
            let Some(record) = self.inner.store.instance(hub, id).await? else { return Err(SendError::Unknown) };
            if record.status != Status::Failed {
                return Err(SendError::NotFailed);
            }
            let rewind = Rewind { reason: reason.clone(), awaited_by: None };
            match self.inner.deliver(record.number, Content::Rewind(rewind, None)).await {
                // As above.
                Err(SendError::Unknown) => {}
                other => return other,
            }
        }
    }

    /// Starts an instance anew with its name, input and tags, on the app's current version: under the same id if it has
    /// ended, or under a fresh one. Returns the id; durable on return.
    ///
    /// # Errors
    /// See [`RestartError`].
    pub async fn restart(&self, hub: &HubName, id: &str, fresh_id: bool) -> Result<InstanceId, RestartError> {
        let parts = Parts { payloads: true, history: false };
        let found = self.instance(hub, id, parts).await.map_err(super::StartError::from)?;
        let Some(view) = found else { return Err(RestartError::Unknown) };
        let request = StartRequest {
            hub: hub.clone(),
            function: view.record.name,
            instance_id: (!fresh_id).then(|| view.record.id.to_string()),
            input: view.payloads.input,
            version: None,
            tags: view.record.tags,
            reuse: Reuse::Terminal,
            trace_parent: None,
            trace_state: None,
            scheduled_at: None,
        };
        Ok(self.start(request).await?)
    }
}
