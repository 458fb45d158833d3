//! Timers and events.

use durawasm::prelude::*;
use serde_json::{Value, json};

/// Sleeps so many milliseconds; gives the time before and after.
#[durawasm::orchestrator(name = "Timer")]
pub(crate) async fn timer(ctx: OrchestrationContext, millis: u64) -> Result<(Timestamp, Timestamp)> {
    let before = ctx.now();
    ctx.sleep(Duration::from_millis(millis)).await?;
    Ok((before, ctx.now()))
}

/// Several timers at once, the longest made first; gives their indexes as they fire.
#[durawasm::orchestrator(name = "TimersInOrder")]
pub(crate) async fn timers_in_order(ctx: OrchestrationContext, mut millis: Vec<u64>) -> Result<Vec<u64>> {
    let mut timers: Vec<_> = millis.iter().map(|millis| ctx.sleep(Duration::from_millis(*millis))).collect();
    let mut order = vec![];
    while !timers.is_empty() {
        let (index, fired) = ctx.select(&mut timers).await;
        fired?;
        order.push(millis.remove(index));
    }
    Ok(order)
}

/// A timer that is given up at once, then one that passed long ago.
#[durawasm::orchestrator(name = "CanceledTimer")]
pub(crate) async fn canceled_timer(ctx: OrchestrationContext) -> Result<&'static str> {
    ctx.sleep(Duration::from_secs(24 * 60 * 60)).cancel();
    ctx.sleep_until(Timestamp::UNIX_EPOCH).await?;
    Ok("done")
}

/// Sleeps by the standard library, which is a durable timer in an orchestrator.
#[durawasm::orchestrator(name = "StdSleep")]
pub(crate) async fn std_sleep(ctx: OrchestrationContext, millis: u64) -> Result<(Timestamp, Timestamp)> {
    let before = ctx.now();
    std::thread::sleep(Duration::from_millis(millis));
    Ok((before, ctx.now()))
}

/// The data of an event of the given name.
#[durawasm::orchestrator(name = "Event")]
pub(crate) async fn event(ctx: OrchestrationContext, name: String) -> Result<Value> {
    ctx.wait_for_event(&name).await
}

/// The event `Approval` within so many milliseconds.
#[durawasm::orchestrator(name = "EventOrTimeout")]
pub(crate) async fn event_or_timeout(ctx: OrchestrationContext, millis: u64) -> Result<Value> {
    let event = ctx.wait_for_event::<Value>("Approval").timeout(Duration::from_millis(millis)).await?;
    Ok(event.map_or(json!("timed out"), |data| json!({"event": data})))
}

/// Waits for `Tick` or a timer until `Tick` has come, and abandons the losing wait each time. Gives how often the
/// timer won and the event's data.
#[durawasm::orchestrator(name = "RaceLoop")]
pub(crate) async fn race_loop(ctx: OrchestrationContext, millis: u64) -> Result<(u32, Value)> {
    let mut fired = 0;
    loop {
        let event = ctx.wait_for_event::<Value>("Tick");
        match ctx.either(event, ctx.sleep(Duration::from_millis(millis))).await {
            Either::Left(data) => return Ok((fired, data?)),
            Either::Right(_) => fired += 1,
        }
        ctx.set_custom_status(json!({"fired": fired}))?;
    }
}

/// Collects n events of one name, waiting for one at a time.
#[durawasm::orchestrator(name = "CollectEvents")]
pub(crate) async fn collect_events(ctx: OrchestrationContext, n: usize) -> Result<Vec<Value>> {
    let mut events = vec![];
    while events.len() < n {
        events.push(ctx.wait_for_event("Item").await?);
    }
    Ok(events)
}

/// Two waits for one event name at once; gives what the older and the newer got.
#[durawasm::orchestrator(name = "TwoWaiters")]
pub(crate) async fn two_waiters(ctx: OrchestrationContext) -> Result<(Value, Value)> {
    let older = ctx.wait_for_event::<Value>("Item");
    let newer = ctx.wait_for_event::<Value>("ITEM");
    let (older, newer) = ctx.join((older, newer)).await;
    Ok((older?, newer?))
}

/// n sleeps of so many milliseconds together against a time limit: `[n, millis, limit]`.
#[durawasm::orchestrator(name = "FanInOrTimeout")]
pub(crate) async fn fan_in_or_timeout(
    ctx: OrchestrationContext,
    (n, millis, limit): (u64, u64, u64),
) -> Result<Option<usize>> {
    let sleeps = ctx.try_join_all((0..n).map(|_| ctx.call_activity::<u64>("Sleep", millis)));
    let all = ctx.timeout(Duration::from_millis(limit), sleeps).await.transpose()?;
    Ok(all.map(|all| all.len()))
}
