//! People approve, then the hub is configured to a database that is not there: configured right, the work is rewound, and
//! the people are not asked again.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

use crate::database;

/// How long a person has.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

#[derive(Deserialize, Serialize)]
pub struct Order {
    what: String,
    approvers: Vec<String>,
}

/// Asks all approvers, one after the other, then saves the order.
#[durawasm::orchestrator(name = "Purchase")]
pub async fn purchase(ctx: OrchestrationContext, order: Order) -> Result<String> {
    for approver in &order.approvers {
        // The event goes to this child: its id says whom it asks.
        let child = format!("{}-{approver}", ctx.instance_id());
        let ask = ctx.sub_orchestration("AskForApproval").instance_id(child).input((approver, &order.what));
        if !ask.call::<bool>().await? {
            return Ok(format!("{approver} has not approved {}", order.what));
        }
    }
    ctx.call_activity("SavePurchase", &order).await
}

/// Tells a person, and waits for the event `Approval`.
#[durawasm::orchestrator(name = "AskForApproval")]
pub async fn ask_for_approval(ctx: OrchestrationContext, (approver, what): (String, String)) -> Result<bool> {
    ctx.call_activity::<()>("NotifyApprover", (&approver, &what)).await?;
    let approved = ctx.wait_for_event::<bool>("Approval").timeout(PATIENCE).await?;
    Ok(approved.unwrap_or(false))
}

#[durawasm::activity(name = "NotifyApprover")]
pub fn notify_approver(ctx: ActivityContext, (approver, what): (String, String)) -> Result<()> {
    durawasm::info!(ctx, "{approver}: please approve {what}");
    Ok(())
}

/// Saves the order in the database `ORDERS_DB`.
#[durawasm::activity(name = "SavePurchase")]
pub fn save_purchase(_ctx: ActivityContext, order: Order) -> Result<String> {
    database::save("ORDERS_DB", &order)?;
    Ok(format!("{} is ordered", order.what))
}
