//! A background job that there is to be one of at a time.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
pub struct Job {
    /// Between two rounds.
    every_seconds: f64,
    /// Rounds so far.
    #[serde(default)]
    rounds: u32,
}

/// Goes round for ever, each time as a new execution of the same instance, until the event `Stop` comes.
#[durawasm::orchestrator(name = "BackgroundJob")]
pub async fn background_job(ctx: OrchestrationContext, job: Job) -> Result<u32> {
    ctx.set_custom_status(job.rounds)?;
    let pause = Duration::try_from_secs_f64(job.every_seconds)?;
    if ctx.wait_for_event::<()>("Stop").timeout(pause).await?.is_some() {
        return Ok(job.rounds);
    }
    let next = Job { rounds: job.rounds.saturating_add(1), ..job };
    // Events that nobody has waited for yet are kept.
    ctx.continue_as_new(next, true)
}
