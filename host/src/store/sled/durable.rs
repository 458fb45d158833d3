//! What is durable by now. sled shows rows before they are synced, so whoever read some waits here before answering.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::store::StoreError;

/// The published state of the writer: which batch may be visible, which is durable, and whether it has failed.
#[derive(Debug)]
pub(super) struct Durable {
    /// The last batch that readers may see rows of.
    visible: AtomicU64,
    /// The last batch that is synced.
    synced: watch::Sender<u64>,
    failed: OnceLock<String>,
}

impl Durable {
    /// Everything up to this batch is durable.
    pub(super) fn new(sequence: u64) -> Self {
        Self { visible: AtomicU64::new(sequence), synced: watch::Sender::new(sequence), failed: OnceLock::new() }
    }

    /// To be called before the batch is applied: afterwards would be too late for a reader that is quick.
    pub(super) fn announce(&self, sequence: u64) {
        self.visible.store(sequence, Ordering::SeqCst);
    }

    /// Everything announced is synced.
    pub(super) fn publish(&self) {
        let visible = self.visible.load(Ordering::SeqCst);
        self.synced.send_replace(visible);
    }

    /// The writer cannot go on. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        if self.failed.set(reason.to_owned()).is_ok() {
            tracing::error!(
                reason,
                "the store has stopped; nothing more is acknowledged until the server is restarted"
            );
        }
        // Wakes those who wait for a sync that will not come.
        self.synced.send_modify(|_| ());
    }

    /// Why the writer stopped, if it did.
    pub(super) fn failed(&self) -> Option<String> {
        self.failed.get().cloned()
    }

    /// An error if the writer has stopped.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason.clone())))
    }

    /// Returns once every row that was visible when this was called is durable. Call it after reading.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        let seen = self.visible.load(Ordering::SeqCst);
        if *self.synced.borrow() < seen {
            let mut synced = self.synced.subscribe();
            synced
                .wait_for(|synced| *synced >= seen || self.failed.get().is_some())
                .await
                .map_err(|_| StoreError::Unavailable("the store is closed".into()))?;
        }
        self.check()
    }
}
