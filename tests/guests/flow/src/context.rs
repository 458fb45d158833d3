//! What else the context can do.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use durawasm::prelude::*;
use serde_json::{Value, json};

/// Shows a custom status between n waits for the event `Next`; the last one stays.
#[durawasm::orchestrator(name = "Custom")]
pub(crate) async fn custom(ctx: OrchestrationContext, n: Option<u32>) -> Result<()> {
    for step in 0..n.unwrap_or(0) {
        ctx.set_custom_status(json!({"step": step}))?;
        ctx.wait_for_event::<Value>("Next").await?;
    }
    ctx.set_custom_status("finished")
}

/// Counts down, one execution for each number: `[left, done]`.
#[durawasm::orchestrator(name = "ContinueAsNew")]
pub(crate) async fn continue_as_new(ctx: OrchestrationContext, (left, done): (u32, u32)) -> Result<u32> {
    if left == 0 {
        return Ok(done);
    }
    ctx.call_activity::<u64>("Square", left).await?;
    ctx.set_custom_status(json!({"left": left}))?;
    ctx.continue_as_new((left - 1, done + 1), true)
}

/// Adds the numbers that come as the event `Add`, one execution each, until one is 0: `[keepEvents, sum]`.
#[durawasm::orchestrator(name = "Eternal")]
pub(crate) async fn eternal(ctx: OrchestrationContext, (keep, sum): (bool, i64)) -> Result<i64> {
    match ctx.wait_for_event::<i64>("Add").await? {
        0 => Ok(sum),
        number => ctx.continue_as_new((keep, sum + number), keep),
    }
}

/// Everything that must come out the same in a replay, before and after a wait for the event `Go` if the input says
/// so.
#[durawasm::orchestrator(name = "Guids")]
pub(crate) async fn guids(ctx: OrchestrationContext, wait: Option<bool>) -> Result<Vec<Value>> {
    let mut seen = vec![chances(ctx)];
    if wait.unwrap_or(false) {
        ctx.wait_for_event::<Value>("Go").await?;
    }
    seen.push(ctx.call_activity("Echo", chances(ctx)).await?);
    Ok(seen)
}

fn chances(ctx: OrchestrationContext) -> Value {
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let hashed: HashMap<_, _> = words.into_iter().map(|word| (word, ())).collect();
    let order: String = hashed.into_keys().collect();
    json!({
        "first": ctx.new_guid(),
        "second": ctx.new_guid(),
        "now": ctx.now(),
        "systemTime": Timestamp::from(SystemTime::now()),
        "hashOrder": order,
    })
}

/// What the standard library's chance, clock and sleep are like, in words that are the same for all languages.
#[durawasm::orchestrator(name = "Chance")]
pub(crate) async fn chance(ctx: OrchestrationContext) -> Result<Value> {
    let (drawn, began) = (draw(ctx), ctx.now());
    std::thread::sleep(Duration::from_millis(1500));
    let slept = ctx.now() >= began + Duration::from_millis(1500);
    let clock = Timestamp::from(SystemTime::now()) == ctx.now();
    let told: Value = ctx.call_activity("Echo", json!({"clock": clock, "slept": slept})).await?;
    Ok(json!([told, draw(ctx) != drawn]))
}

/// A seed of the standard library's, and a GUID.
fn draw(ctx: OrchestrationContext) -> (u64, String) {
    (RandomState::new().hash_one(1), ctx.new_guid())
}

#[durawasm::orchestrator(name = "Identity")]
pub(crate) async fn identity(ctx: OrchestrationContext) -> Result<Value> {
    let instance = ctx.instance();
    let tags: Vec<_> = instance.tags.iter().map(|tag| (&tag.name, &tag.value)).collect();
    Ok(json!({
        "instanceId": instance.instance_id,
        "executionId": instance.execution_id,
        "parentInstanceId": instance.parent_instance_id,
        "name": instance.name,
        "version": instance.version,
        "tags": tags,
    }))
}

/// A line of each level, with an activity's line between them.
#[durawasm::orchestrator(name = "Logs")]
pub(crate) async fn logs(ctx: OrchestrationContext) -> Result<()> {
    ctx.trace("a trace line");
    ctx.debug("a debug line");
    ctx.info("an info line");
    ctx.call_activity::<()>("LogLine", "an activity's line").await?;
    ctx.warn("a warn line");
    ctx.error("an error line");
    Ok(())
}

/// Prints before and after an activity.
#[durawasm::orchestrator(name = "Print")]
pub(crate) async fn print(ctx: OrchestrationContext) -> Result<()> {
    println!("printed before");
    ctx.call_activity::<Value>("Echo", 1).await?;
    eprintln!("printed after");
    Ok(())
}

/// Raises an event on another instance: `[instanceId, name, data]`.
#[durawasm::orchestrator(name = "SendEvent")]
pub(crate) async fn send_event(ctx: OrchestrationContext, (target, name, data): (String, String, Value)) -> Result<()> {
    ctx.send_event(&target, &name, data)
}

/// The environment of orchestrators.
#[durawasm::orchestrator(name = "OwnEnvironment")]
pub(crate) async fn own_environment(_ctx: OrchestrationContext) -> Result<BTreeMap<String, String>> {
    Ok(std::env::vars().collect())
}
