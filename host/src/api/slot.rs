//! What the server tells its surface while it runs: that the engine is open, and that the server is to stop. Health is
//! served from the first moment on.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::Engine;

/// Holds the engine once it is open. Cheap to clone; all clones see the same engine.
#[derive(Clone)]
pub struct EngineSlot(Arc<watch::Sender<Option<Engine>>>);

impl EngineSlot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Puts the engine in; from now on requests reach it.
    pub fn set(&self, engine: Engine) {
        self.0.send_replace(Some(engine));
    }

    /// The engine, if it is open.
    #[must_use]
    pub fn get(&self) -> Option<Engine> {
        self.0.borrow().clone()
    }
}

impl Default for EngineSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// Learns that the server is to stop, so that no request holds it up by waiting. Cheap to clone.
#[derive(Clone)]
pub struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// Begins when the channel's value becomes true, or its sender is gone.
    #[must_use]
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self(Some(stop))
    }

    /// Never begins.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// Returns once the server is to stop.
    pub async fn begun(&self) {
        match self.0.clone() {
            Some(mut stop) => {
                // An error means that the server was dropped, which is a reason to stop as well.
                let _dropped = stop.wait_for(|stop| *stop).await;
            }
            None => std::future::pending().await,
        }
    }
}
