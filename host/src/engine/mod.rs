//! The engine: instances as actors, the commit pipeline, timers, activities. Knows no sled, HTTP or wasmtime.

pub mod client;
pub mod executor;
pub mod session;

pub use client::{DeployError, Deployed, InstanceView, Parts, SendError, StartError, StartRequest, Waited};

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::Message;

use crate::store::{AppRecord, HubName, SharedStore, StoreError};
use executor::Executor;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Guests that may wait in memory at once; more are dropped and replayed when needed.
    pub hot_guests: usize,
    /// Activities that run at once.
    pub activities: usize,
    /// How long an activity attempt may take when its call does not say.
    pub activity_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hot_guests: 1_000, activities: 256, activity_timeout: Duration::from_secs(300) }
    }
}

/// Where the engine gets the time from: the system's, or a test's.
pub type Clock = Arc<dyn Fn() -> durawasm_core::Timestamp + Send + Sync>;

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Loads apps and work in flight from the store and starts to work.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: SharedStore,
        executor: Arc<dyn Executor>,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let _ = (store, executor, settings, clock);
        Ok(Self {})
    }
    /// Starts an instance; durable on return. Returns its id.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, request: StartRequest) -> Result<durawasm_core::InstanceId, StartError> {
        let _ = request;
        unimplemented!()
    }
    /// The instance with this id, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn instance(&self, hub: &HubName, id: &str, parts: Parts) -> Result<Option<InstanceView>, StoreError> {
        let _ = (hub, id, parts);
        unimplemented!()
    }
    /// Waits until the instance has ended, without polling.
    ///
    /// # Errors
    /// The store's.
    pub async fn wait(&self, hub: &HubName, id: &str, timeout: Duration) -> Result<Waited, StoreError> {
        let _ = (hub, id, timeout);
        unimplemented!()
    }
    /// Delivers a message (event, suspend, resume, terminate); durable on return.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, hub: &HubName, id: &str, message: Message) -> Result<(), SendError> {
        let _ = (hub, id, message);
        unimplemented!()
    }
    /// Takes a component as the current version of an app.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(&self, hub: &HubName, app: &str, component: bytes::Bytes) -> Result<Deployed, DeployError> {
        let _ = (hub, app, component);
        unimplemented!()
    }
    /// The app's record, if it exists.
    #[must_use]
    pub fn app(&self, hub: &HubName, app: &str) -> Option<AppRecord> {
        let _ = (hub, app);
        unimplemented!()
    }
    /// True once recovery is done: every instance that had work in flight has been taken up again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }
    /// Stops taking work, lets running commits finish.
    pub async fn shutdown(&self) {}
}
