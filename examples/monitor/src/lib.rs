//! An eternal orchestration: looks, waits, starts afresh.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Watch {
    place: String,
    every_seconds: u64,
    /// What the last look gave.
    #[serde(default)]
    last: Option<u32>,
    #[serde(default)]
    looks: u32,
}

#[durawasm::orchestrator(name = "E3_Monitor")]
async fn monitor(ctx: OrchestrationContext, watch: Watch) -> Result<()> {
    let level: u32 = ctx.call_activity("E3_ReadLevel", (&watch.place, watch.looks)).await?;
    if watch.last.is_some_and(|last| last != level) {
        durawasm::info!(ctx, "the level at {} is now {level}", watch.place);
    }
    let looks = watch.looks + 1;
    ctx.set_custom_status(serde_json::json!({"level": level, "looks": looks}))?;
    ctx.sleep(Duration::from_secs(watch.every_seconds)).await?;
    // The next execution starts with an empty history, so the history never grows.
    ctx.continue_as_new(Watch { last: Some(level), looks, ..watch }, true)
}

/// Stands for a gauge: the level changes with every third look.
#[durawasm::activity(name = "E3_ReadLevel")]
fn read_level(_ctx: ActivityContext, (place, looks): (String, u32)) -> Result<u32> {
    let length = u32::try_from(place.len())?;
    Ok(length + looks / 3)
}

durawasm::app!(monitor, read_level);
