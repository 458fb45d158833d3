//! What hubs share, and a hub's part in it.
//!
//! An orchestrator has a place from the beginning of an episode to its end, an activity or a client function for its
//! whole run; while there are hubs without a place, none takes the last ones. With a place a guest waits for slices of a
//! processor, which hubs get in turn.

use std::sync::Arc;

use super::Settings;
use crate::fair::{Gate, Lane, Slices};

/// Orchestrators in the middle of an episode at once. Parked ones, activities and functions have bounds of their own; all
/// together stay within what the executor can hold.
const EPISODES: usize = 512;
/// Components that are admitted at once. The compiler takes one at a time; what is known already passes quickly.
const COMPILES: usize = 2;
/// Messages between instances that are brought at once.
const LETTERS: usize = 64;

/// Places for all hubs.
pub(super) struct Places {
    pub(super) slices: Slices,
    pub(super) episodes: Arc<Gate>,
    pub(super) activities: Arc<Gate>,
    pub(super) http_calls: Arc<Gate>,
    pub(super) functions: Arc<Gate>,
    pub(super) streams: Arc<Gate>,
    pub(super) compiles: Arc<Gate>,
    pub(super) letters: Arc<Gate>,
}

impl Places {
    /// Within a runtime: as many guests run at once as it has threads.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            slices: Slices::new(tokio::runtime::Handle::current().metrics().num_workers(), settings.heavy_threads),
            episodes: Gate::of_places(EPISODES),
            activities: Gate::of_places(settings.activities),
            http_calls: Gate::of_places(settings.http_calls),
            functions: Gate::of_places(settings.functions),
            streams: Gate::of_places(settings.functions),
            compiles: Gate::of_places(COMPILES),
            letters: Gate::of_places(LETTERS),
        }
    }
}

/// A hub's part.
pub(super) struct Lanes {
    pub(super) slices: Arc<Lane>,
    pub(super) episodes: Arc<Lane>,
    pub(super) activities: Arc<Lane>,
    pub(super) http_calls: Arc<Lane>,
    pub(super) functions: Arc<Lane>,
    pub(super) streams: Arc<Lane>,
    pub(super) compiles: Arc<Lane>,
    pub(super) letters: Arc<Lane>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            slices: Lane::new(),
            episodes: Lane::new(),
            activities: Lane::new(),
            http_calls: Lane::new(),
            functions: Lane::new(),
            streams: Lane::new(),
            compiles: Lane::new(),
            letters: Lane::new(),
        }
    }
}
