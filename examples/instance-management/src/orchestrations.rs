//! What is managed.

use durawasm::prelude::*;
use serde_json::{Value, json};

use crate::database;

/// Greets whom it is given.
#[durawasm::orchestrator(name = "HelloWorld")]
pub async fn hello_world(ctx: OrchestrationContext, name: Option<String>) -> Result<String> {
    ctx.call_activity("SayHello", name.unwrap_or_else(|| "world".to_owned())).await
}

#[durawasm::activity(name = "SayHello")]
pub fn say_hello(_ctx: ActivityContext, name: String) -> Result<String> {
    Ok(format!("Hello {name}!"))
}

/// Waits for `MyEvent` and adds up the numbers that come with it.
#[durawasm::orchestrator(name = "Sum")]
pub async fn sum(ctx: OrchestrationContext) -> Result<i64> {
    let numbers: Vec<i64> = ctx.wait_for_event("MyEvent").await?;
    Ok(numbers.iter().sum())
}

/// Counts what `Add` brings, until `Stop`. Each number is an execution of its own, so the history stays short however
/// long it counts; numbers that come while it starts anew are kept.
#[durawasm::orchestrator(name = "Counter")]
pub async fn counter(ctx: OrchestrationContext, total: Option<i64>) -> Result<i64> {
    let total = total.unwrap_or(0);
    ctx.set_custom_status(total)?;
    match ctx.either(ctx.wait_for_event::<i64>("Add"), ctx.wait_for_event::<()>("Stop")).await {
        Either::Left(number) => ctx.continue_as_new(total.saturating_add(number?), true),
        Either::Right(stop) => stop.map(|()| total),
    }
}

/// Has the URLs by which it is managed sent to a database, then waits for whoever reads them there to say `Go`.
#[durawasm::orchestrator(name = "Introduce")]
pub async fn introduce(ctx: OrchestrationContext) -> Result<Value> {
    ctx.call_activity::<()>("SendInstanceInfo", ()).await?;
    ctx.wait_for_event("Go").await
}

/// Sends the URLs of the instance that called it to the database `MONITOR_DB`. An activity has the client, too, and knows
/// whose it is.
#[durawasm::activity(name = "SendInstanceInfo")]
pub fn send_instance_info(ctx: ActivityContext) -> Result<()> {
    let id = ctx.instance_id();
    let payload = ctx.client().management_payload(&id);
    database::save("MONITOR_DB", &json!({"Payload": payload, "id": id}))
}
