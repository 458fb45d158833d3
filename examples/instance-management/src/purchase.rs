//! People approve, then something is wrong with the configuration: the work is rewound, the people are not asked again.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

/// How long a person has.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// The instance whose output is the configuration.
const CONFIGURATION: &str = "configuration";

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

/// Connects to where the configuration says, which stands for the database.
#[durawasm::activity(name = "SavePurchase")]
pub fn save_purchase(ctx: ActivityContext, order: Order) -> Result<String> {
    let configuration = ctx.client().get_status(CONFIGURATION).send()?;
    let connection: Option<String> = configuration.map(|status| status.output()).transpose()?.flatten();
    match connection.as_deref() {
        Some(connection) if connection.starts_with("postgres://") => {
            Ok(format!("{} saved to {connection}", order.what))
        }
        Some(wrong) => durawasm::bail!("cannot connect to the database: '{wrong}' is no connection string"),
        None => durawasm::bail!("cannot connect to the database: there is no connection string"),
    }
}

/// The connection string: an orchestration that ends at once with its input. Started anew it has another.
#[durawasm::orchestrator(name = "Configuration")]
pub async fn configuration(_ctx: OrchestrationContext, connection: String) -> Result<String> {
    Ok(connection)
}
