//! Purging what ended long ago, in the background.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use durawasm_core::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::Inner;
use crate::store::{Filter, HubName, Keep};

/// The longest pause between two sweeps by the engine's clock.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(3600);
/// The shortest.
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// A sweep is looked for at least this often in real time: the engine's clock may be moved by hand.
const GLANCE: Duration = Duration::from_secs(30);

/// Wakes the sweeper when the clock was moved.
#[derive(Default)]
pub(super) struct Retention {
    changed: Arc<Notify>,
}

impl Retention {
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }
}

/// What is kept of a hub's ended instances, and when it is swept next.
type Plan = HashMap<HubName, (Duration, Timestamp)>;

/// Sweeps until the engine is gone. Each sweep goes page by page and each instance is a commit of its own, so others
/// are served in between.
pub(super) async fn run(engine: Weak<Inner>) {
    let mut plan = Plan::new();
    loop {
        let Some(inner) = engine.upgrade() else { return };
        if inner.is_stopping() {
            return;
        }
        let next = round(&inner, &mut plan).await;
        let wait = next.and_then(|next| Duration::try_from(next.duration_since(inner.now())).ok());
        let wait = wait.unwrap_or(GLANCE).min(GLANCE);
        let changed = Arc::clone(&inner.retention.changed);
        // An engine that nobody uses any more must not be kept by its sweeper.
        drop(inner);
        let _moved = tokio::time::timeout(wait, changed.notified()).await;
    }
}

/// Sweeps the hubs whose time has come, and returns when the next one's comes.
async fn round(inner: &Arc<Inner>, plan: &mut Plan) -> Option<Timestamp> {
    let mut after = Plan::new();
    for hub in inner.hubs.all() {
        let keep = match hub.config.retention {
            Some(Keep::For(keep)) => keep,
            Some(Keep::Forever) => continue,
            None => match inner.settings.retention {
                Some(keep) => keep,
                None => continue,
            },
        };
        let known = plan.get(&hub.name).filter(|(known, _)| *known == keep).map(|(_, next)| *next);
        let mut next = known.unwrap_or(Timestamp::MIN);
        let now = inner.now();
        if now >= next {
            let span = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
            let pause = (span / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            next = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
            if let Ok(until) = now.checked_sub(span) {
                sweep(inner, &hub.name, until).await;
            }
        }
        after.insert(hub.name.clone(), (keep, next));
    }
    *plan = after;
    plan.values().map(|(_, next)| *next).min()
}

async fn sweep(inner: &Arc<Inner>, hub: &HubName, until: Timestamp) {
    // Nothing is changed before it is created: what was created later need not be looked at.
    let filter = Filter { created_to: Some(until), updated_to: Some(until), ..Filter::default() };
    match inner.purge_many(hub, &filter, false).await {
        Ok(0) => {}
        Ok(purged) => tracing::info!(%hub, purged, "instances that ended long ago were purged"),
        Err(error) => tracing::error!(%hub, %error, "purging what ended long ago failed; trying again later"),
    }
}
