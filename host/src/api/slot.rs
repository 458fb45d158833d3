//! The place of the engine, empty while the store opens: health is served from the first moment on.

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
