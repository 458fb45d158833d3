//! An orchestration made of others: some it waits for, one it only starts, one that tells it something.

use durawasm::prelude::*;
use serde::Serialize;

#[derive(Serialize)]
struct Provisioned {
    keys: Vec<String>,
    failed: Vec<String>,
    audit: String,
}

#[durawasm::orchestrator(name = "E7_ProvisionAll")]
async fn provision_all(ctx: OrchestrationContext, devices: Vec<String>) -> Result<Provisioned> {
    let id = ctx.instance_id();
    // Chosen ids make children easy to find; without one the host derives it. Either is the same in every replay.
    let children = devices.iter().map(|device| {
        let retry = RetryPolicy::new(2, Duration::from_secs(1));
        ctx.sub_orchestration("E7_Provision").input(device).instance_id(format!("{id}-{device}")).retry(retry).call()
    });
    let (mut keys, mut failed) = (vec![], vec![]);
    for (device, provisioned) in devices.iter().zip(ctx.join_all(children).await) {
        match provisioned {
            Ok(key) => keys.push(key),
            Err(error) => failed.push(format!("{device}: {error}")),
        }
    }
    // Nobody waits for the auditor's end; it says by an event that it has taken over.
    let audit = ctx.sub_orchestration("E7_Audit").input((&id, keys.len())).start()?;
    ctx.wait_for_event::<()>("AuditBegun").await?;
    Ok(Provisioned { keys, failed, audit })
}

#[durawasm::orchestrator(name = "E7_Provision")]
async fn provision(ctx: OrchestrationContext, device: String) -> Result<String> {
    ctx.call_activity("E7_MakeKey", device).await
}

#[durawasm::orchestrator(name = "E7_Audit")]
async fn audit(ctx: OrchestrationContext, (whom, keys): (String, usize)) -> Result<usize> {
    ctx.send_event(&whom, "AuditBegun", ())?;
    ctx.sleep(Duration::from_secs(1)).await?;
    Ok(keys)
}

#[durawasm::activity(name = "E7_MakeKey")]
fn make_key(_ctx: ActivityContext, device: String) -> Result<String> {
    if device.is_empty() {
        durawasm::bail!("a device needs a name");
    }
    Ok(format!("key-of-{device}"))
}

durawasm::app!(provision_all, provision, audit, make_key);
