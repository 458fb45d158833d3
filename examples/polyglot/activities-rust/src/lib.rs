//! Activities that a JavaScript orchestrator calls, and an orchestrator that calls a JavaScript activity.

use durawasm::prelude::*;

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

#[durawasm::orchestrator(name = "PG_Letter")]
async fn letter(ctx: OrchestrationContext, to: String) -> Result<String> {
    ctx.call_activity("PG_Salutation", to).await
}

durawasm::app!(sum, digest, letter);
