//! Activities that orchestrators in Python and JavaScript call, and orchestrators that call theirs.

use durawasm::prelude::*;
use serde::Deserialize;

/// The sum of some numbers.
#[durawasm::activity(name = "PG_Sum")]
fn sum(_ctx: ActivityContext, numbers: Vec<u64>) -> Result<u64> {
    numbers.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n)).ok_or_else(|| Error::msg("the sum is too large"))
}

/// A digest (64-bit FNV-1a) of a text.
#[durawasm::activity(name = "PG_Digest")]
fn digest(_ctx: ActivityContext, text: String) -> Result<String> {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step)))
}

/// Rust calls JavaScript.
#[durawasm::orchestrator(name = "PG_Letter")]
async fn letter(ctx: OrchestrationContext, to: String) -> Result<String> {
    ctx.call_activity("PG_Salutation", to).await
}

/// What the activity in Python gives.
#[derive(Deserialize)]
struct Statistics {
    mean: f64,
    median: f64,
}

/// Rust calls Python.
#[durawasm::orchestrator(name = "PG_Report")]
async fn report(ctx: OrchestrationContext, numbers: Vec<f64>) -> Result<String> {
    let Statistics { mean, median } = ctx.call_activity("PG_Statistics", numbers).await?;
    Ok(format!("mean {mean}, median {median}"))
}

durawasm::app!(sum, digest, letter, report);
