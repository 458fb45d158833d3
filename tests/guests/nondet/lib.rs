//! `Order` calls A, waits for the event `Go` and calls B; with the feature `swapped` it calls B first. Built once in
//! each way, under two names.

use durawasm::prelude::*;

const STEPS: [&str; 2] = if cfg!(feature = "swapped") { ["B", "A"] } else { ["A", "B"] };

#[durawasm::orchestrator(name = "Order")]
async fn order(ctx: OrchestrationContext) -> Result<Vec<String>> {
    let first = ctx.call_activity(STEPS[0], ()).await?;
    ctx.wait_for_event::<()>("Go").await?;
    let second = ctx.call_activity(STEPS[1], ()).await?;
    Ok(vec![first, second])
}

/// The same without a wait between the calls.
#[durawasm::orchestrator(name = "OrderAtOnce")]
async fn order_at_once(ctx: OrchestrationContext) -> Result<Vec<String>> {
    ctx.try_join_all(STEPS.map(|step| ctx.call_activity(step, ()))).await
}

/// Which version the orchestrator is of, and which the activity that it calls after the event `Go`. Once a round.
#[durawasm::orchestrator(name = "Versions")]
async fn versions(ctx: OrchestrationContext, rounds: u32) -> Result<[String; 2]> {
    ctx.wait_for_event::<()>("Go").await?;
    let of_activity = ctx.call_activity("Version", ()).await?;
    if rounds > 0 {
        return ctx.continue_as_new(rounds - 1, true);
    }
    Ok([STEPS[0].to_owned(), of_activity])
}

/// The same of a sub-orchestration that was called after the event `Go`.
#[durawasm::orchestrator(name = "ChildVersion")]
async fn child_version(ctx: OrchestrationContext) -> Result<String> {
    ctx.wait_for_event::<()>("Go").await?;
    ctx.call_sub_orchestration("OwnVersion", ()).await
}

#[durawasm::orchestrator(name = "OwnVersion")]
async fn own_version(_ctx: OrchestrationContext) -> Result<&'static str> {
    Ok(STEPS[0])
}

/// Waits for children of this name, whose ids are its own with a letter, one after the other started at once.
#[durawasm::orchestrator(name = "Family")]
async fn family(ctx: OrchestrationContext, children: Vec<String>) -> Result<()> {
    let call = |(letter, name): (char, &String)| {
        let id = format!("{}.{letter}", ctx.instance_id());
        ctx.sub_orchestration(name).input(0).instance_id(id).call::<[String; 2]>()
    };
    let calls: Vec<_> = ('a'..).zip(&children).map(call).collect();
    for call in calls {
        call.await?;
    }
    Ok(())
}

/// Fails in the old version after its first call, with what the new one has mended.
#[durawasm::orchestrator(name = "Mended")]
async fn mended(ctx: OrchestrationContext) -> Result<[String; 2]> {
    let first = ctx.call_activity("A", ()).await?;
    if cfg!(not(feature = "swapped")) {
        return Err(Error::new("NotMended", "not mended yet"));
    }
    Ok([first, ctx.call_activity("B", ()).await?])
}

/// Fails in both, and makes another call before.
#[durawasm::orchestrator(name = "Spoilt")]
async fn spoilt(ctx: OrchestrationContext) -> Result<String> {
    let first: String = ctx.call_activity(STEPS[0], ()).await?;
    Err(Error::new("Spoilt", first))
}

/// Named by what it does first: A is the old one, B the new one.
#[durawasm::activity(name = "Version")]
fn version(_ctx: ActivityContext) -> Result<&'static str> {
    Ok(STEPS[0])
}

#[durawasm::activity(name = "A")]
fn a(_ctx: ActivityContext) -> Result<&'static str> {
    Ok("A")
}

#[durawasm::activity(name = "B")]
fn b(_ctx: ActivityContext) -> Result<&'static str> {
    Ok("B")
}

durawasm::app!(order, order_at_once, versions, child_version, own_version, family, mended, spoilt, version, a, b);
