//! What is managed.

use durawasm::prelude::*;
use serde_json::{Value, json};

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

/// Has the URLs by which it is managed sent to an instance of `MonitorDB`, then waits for whoever reads them there to say
/// `Go`.
#[durawasm::orchestrator(name = "Introduce")]
pub async fn introduce(ctx: OrchestrationContext, database: String) -> Result<Value> {
    ctx.call_activity::<()>("SendInstanceInfo", database).await?;
    ctx.wait_for_event("Go").await
}

/// An activity has the client, too, and knows which instance called it.
#[durawasm::activity(name = "SendInstanceInfo")]
pub fn send_instance_info(ctx: ActivityContext, database: String) -> Result<()> {
    let id = ctx.instance_id();
    let document = json!({"Payload": ctx.client().management_payload(&id), "id": id});
    Ok(ctx.client().raise_event(&database, "Document", document)?)
}

/// Stands for a database: keeps the one document that it is sent.
#[durawasm::orchestrator(name = "MonitorDB")]
pub async fn monitor_db(ctx: OrchestrationContext) -> Result<Value> {
    ctx.wait_for_event("Document").await
}
