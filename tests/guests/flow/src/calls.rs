//! Activities and sub-orchestrations in all arrangements.

use durawasm::prelude::*;
use serde_json::{Value, json};

/// Echoes each item, one after the other.
#[durawasm::orchestrator(name = "Sequence")]
pub(crate) async fn sequence(ctx: OrchestrationContext, items: Option<Vec<Value>>) -> Result<Vec<Value>> {
    let mut echoes = vec![];
    for item in items.unwrap_or_else(|| vec![json!("Tokyo"), json!("Seattle"), json!("London")]) {
        echoes.push(ctx.call_activity("Echo", item).await?);
    }
    Ok(echoes)
}

/// Calls any activity: `["Name", input]`.
#[durawasm::orchestrator(name = "OneActivity")]
pub(crate) async fn one_activity(ctx: OrchestrationContext, (name, input): (String, Value)) -> Result<Value> {
    ctx.call_activity(&name, input).await
}

/// The sum of the squares of 1 to n.
#[durawasm::orchestrator(name = "FanOut")]
pub(crate) async fn fan_out(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let squares = ctx.try_join_all((1..=n).map(|i| ctx.call_activity::<u64>("Square", i))).await?;
    Ok(squares.iter().sum())
}

/// An activity, a timer, a child and a group at the same time.
#[durawasm::orchestrator(name = "JoinMixed")]
pub(crate) async fn join_mixed(ctx: OrchestrationContext) -> Result<Value> {
    let activity = ctx.call_activity::<String>("Echo", "a");
    let timer = ctx.sleep(Duration::from_millis(20));
    let child = ctx.call_sub_orchestration::<u64>("Child", 3);
    let group = ctx.try_join_all((1..=3).map(|n| ctx.call_activity::<u64>("Square", n)));
    let (activity, timer, child, group) = ctx.join((activity, timer, child, group)).await;
    timer?;
    Ok(json!({"activity": activity?, "child": child?, "group": group?}))
}

/// The index of the first of several sleeps, each so many milliseconds long; the others run on unheard.
#[durawasm::orchestrator(name = "Race")]
pub(crate) async fn race(ctx: OrchestrationContext, millis: Vec<u64>) -> Result<(usize, u64)> {
    let (index, slept) = ctx.race(millis.iter().map(|millis| ctx.call_activity::<u64>("Sleep", millis))).await;
    Ok((index, slept?))
}

/// The sleeps in the order in which they complete.
#[durawasm::orchestrator(name = "SelectAll")]
pub(crate) async fn select_all(ctx: OrchestrationContext, millis: Vec<u64>) -> Result<Vec<u64>> {
    let mut sleeps: Vec<_> = millis.iter().map(|millis| ctx.call_activity::<u64>("Sleep", millis)).collect();
    let mut order = vec![];
    while !sleeps.is_empty() {
        order.push(ctx.select(&mut sleeps).await.1?);
    }
    Ok(order)
}

/// Ends while activities and a timer are under way.
#[durawasm::orchestrator(name = "Unheard")]
pub(crate) async fn unheard(ctx: OrchestrationContext, millis: u64) -> Result<&'static str> {
    drop(ctx.call_activity::<u64>("Sleep", millis));
    drop(ctx.sleep(Duration::from_secs(3600)));
    Ok("done")
}

/// Calls any activity, `["Name", input]`, and gives it up when the event `Stop` comes.
#[durawasm::orchestrator(name = "GivesUp")]
pub(crate) async fn gives_up(ctx: OrchestrationContext, (name, input): (String, Value)) -> Result<&'static str> {
    let activity = ctx.call_activity::<Value>(&name, input);
    ctx.wait_for_event::<Value>("Stop").await?;
    activity.cancel();
    Ok("given up")
}

/// Squares by an activity; waits for the event `Go` first if the number is 0.
#[durawasm::orchestrator(name = "Child")]
pub(crate) async fn child(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    if n == 0 {
        return ctx.wait_for_event("Go").await;
    }
    ctx.call_activity("Square", n).await
}

/// Calls a child for each number, one of them with an id of its own.
#[durawasm::orchestrator(name = "Parent")]
pub(crate) async fn parent(ctx: OrchestrationContext, numbers: Vec<u64>) -> Result<Vec<u64>> {
    let named = format!("{}-first", ctx.instance_id());
    let children = numbers.iter().enumerate().map(|(index, n)| {
        let call = ctx.sub_orchestration("Child").input(n).tag("index", index.to_string());
        if index == 0 { call.instance_id(&named).call() } else { call.call() }
    });
    ctx.try_join_all(children).await
}

/// Starts a child and gives its instance id.
#[durawasm::orchestrator(name = "FireAndForget")]
pub(crate) async fn fire_and_forget(ctx: OrchestrationContext, n: u64) -> Result<String> {
    ctx.sub_orchestration("Child").input(n).start()
}
