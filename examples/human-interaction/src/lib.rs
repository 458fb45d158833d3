//! A decision by a person, with a deadline.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Request {
    what: String,
    /// How long the person has.
    seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Approved,
    Rejected,
    Expired,
}

#[durawasm::orchestrator(name = "E4_Approval")]
async fn approval(ctx: OrchestrationContext, request: Request) -> Result<Outcome> {
    ctx.call_activity::<()>("E4_Ask", &request.what).await?;
    ctx.set_custom_status("waiting for the event Approval")?;
    let limit = Duration::from_secs(request.seconds);
    let outcome = match ctx.wait_for_event::<bool>("Approval").timeout(limit).await? {
        Some(true) => Outcome::Approved,
        Some(false) => Outcome::Rejected,
        None => Outcome::Expired,
    };
    ctx.set_custom_status(())?;
    Ok(outcome)
}

#[durawasm::activity(name = "E4_Ask")]
fn ask(ctx: ActivityContext, what: String) -> Result<()> {
    durawasm::info!(ctx, "please decide about {what:?}: instance {}", ctx.instance_id());
    Ok(())
}

durawasm::app!(approval, ask);
