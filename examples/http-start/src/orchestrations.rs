//! What is started.

use durawasm::ManagementPayload;
use durawasm::prelude::*;

/// Three activities, one after the other.
#[durawasm::orchestrator(name = "E1_HelloSequence")]
pub async fn hello_sequence(ctx: OrchestrationContext) -> Result<Vec<String>> {
    let mut greetings = vec![];
    for city in ["Tokyo", "Seattle", "London"] {
        greetings.push(ctx.call_activity("E1_SayHello", city).await?);
    }
    Ok(greetings)
}

#[durawasm::activity(name = "E1_SayHello")]
pub fn say_hello(_ctx: ActivityContext, city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

/// Greets whom it is given.
#[durawasm::orchestrator(name = "HelloWorld")]
pub async fn hello_world(ctx: OrchestrationContext, name: Option<String>) -> Result<String> {
    ctx.call_activity("E1_SayHello", name.unwrap_or_else(|| "world".to_owned())).await
}

/// Waits for `MyEvent` and adds up the numbers that come with it.
#[durawasm::orchestrator(name = "Sum")]
pub async fn sum(ctx: OrchestrationContext) -> Result<i64> {
    let numbers: Vec<i64> = ctx.wait_for_event("MyEvent").await?;
    Ok(numbers.iter().sum())
}

/// Gives the URLs by which others manage it.
#[durawasm::orchestrator(name = "InstanceInfo")]
pub async fn instance_info(ctx: OrchestrationContext) -> Result<ManagementPayload> {
    ctx.activity("MakeInstanceInfo").call().await
}

/// An activity has the client, too. It would send the URLs to whoever is to manage the instance.
#[durawasm::activity(name = "MakeInstanceInfo")]
pub fn make_instance_info(ctx: ActivityContext) -> Result<ManagementPayload> {
    Ok(ctx.client().management_payload(&ctx.instance_id()))
}
