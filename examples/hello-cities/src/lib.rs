//! Three activities, one after the other.

use durawasm::prelude::*;

#[durawasm::orchestrator(name = "E1_HelloSequence")]
async fn hello_sequence(ctx: OrchestrationContext) -> Result<Vec<String>> {
    let mut greetings = vec![];
    for city in ["Tokyo", "Seattle", "London"] {
        greetings.push(ctx.call_activity("E1_SayHello", city).await?);
    }
    Ok(greetings)
}

#[durawasm::activity(name = "E1_SayHello")]
fn say_hello(_ctx: ActivityContext, city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

durawasm::app!(hello_sequence, say_hello);
