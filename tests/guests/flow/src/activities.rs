//! Activities.

use std::collections::BTreeMap;
use std::time::Instant;

use durawasm::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// Gives back what it got.
#[durawasm::activity(name = "Echo")]
pub(crate) fn echo(_ctx: ActivityContext, value: Value) -> Result<Value> {
    Ok(value)
}

#[durawasm::activity(name = "Square")]
pub(crate) fn square(_ctx: ActivityContext, n: u64) -> Result<u64> {
    Ok(n * n)
}

/// Always fails: a chain of two causes, further facts, and as non-retriable as the input says.
#[durawasm::activity(name = "Fail")]
pub(crate) fn fail(_ctx: ActivityContext, non_retriable: Option<bool>) -> Result<()> {
    let error = Error::new("DiskError", "no space left")
        .context("cannot write the file")
        .context("cannot save the order")
        .with_properties(json!({"order": 7}));
    Err(if non_retriable.unwrap_or(false) { error.non_retriable() } else { error })
}

/// Fails before attempt `k`, then gives the attempt.
#[durawasm::activity(name = "FailUntil")]
pub(crate) fn fail_until(ctx: ActivityContext, k: u32) -> Result<u32> {
    let attempt = ctx.attempt();
    if attempt < k {
        return Err(Error::new("NotYet", format_args!("attempt {attempt} of {k}")));
    }
    Ok(attempt)
}

/// Keeps the processor busy for so many milliseconds.
#[durawasm::activity(name = "Slow")]
pub(crate) fn slow(_ctx: ActivityContext, millis: u64) -> Result<u64> {
    let began = Instant::now();
    let mut rounds = 0u64;
    while began.elapsed() < Duration::from_millis(millis) {
        rounds = std::hint::black_box(rounds + 1);
    }
    Ok(millis)
}

/// Waits for so many milliseconds without using the processor.
#[durawasm::activity(name = "Sleep")]
pub(crate) fn sleep(_ctx: ActivityContext, millis: u64) -> Result<u64> {
    std::thread::sleep(Duration::from_millis(millis));
    Ok(millis)
}

/// Everything an activity knows about its call.
#[durawasm::activity(name = "DescribeCall")]
pub(crate) fn describe_call(ctx: ActivityContext) -> Result<Value> {
    let call = ctx.call();
    Ok(json!({
        "instanceId": call.instance_id,
        "name": call.name,
        "task": call.task,
        "attempt": call.attempt,
        "idempotencyKey": call.idempotency_key,
    }))
}

#[derive(Deserialize)]
pub(crate) struct Heartbeats {
    times: u32,
    every_millis: u64,
}

/// Sends heartbeats until it has sent them all or is canceled; gives how many it sent.
#[durawasm::activity(name = "Heartbeats")]
pub(crate) fn heartbeats(ctx: ActivityContext, input: Heartbeats) -> Result<u32> {
    for sent in 1..=input.times {
        if ctx.heartbeat(sent)? {
            return Ok(sent);
        }
        std::thread::sleep(Duration::from_millis(input.every_millis));
    }
    Ok(input.times)
}

/// Fails until its caller was rewound so often, which is part of the key that names an attempt.
#[durawasm::activity(name = "Repaired")]
pub(crate) fn repaired(ctx: ActivityContext, rewinds: u32) -> Result<Value> {
    let key = ctx.idempotency_key();
    let execution = key.split(':').next().unwrap_or_default();
    let rewound: u32 = execution.split_once('-').map_or(Ok(0), |(_, number)| number.parse())?;
    if rewound < rewinds {
        return Err(Error::new("Broken", format_args!("broken until rewind {rewinds}")));
    }
    Ok(json!({"repaired": rewound}))
}

/// Fails halfway in its first attempt, having said how far it came; the next goes on from there. Gives where.
#[durawasm::activity(name = "Resumes")]
pub(crate) fn resumes(ctx: ActivityContext, half: u32) -> Result<Value> {
    match ctx.last_heartbeat::<u32>()? {
        Some(done) => Ok(json!({"attempt": ctx.attempt(), "from": done})),
        None => {
            for done in 1..=half {
                ctx.heartbeat(done)?;
            }
            Err(Error::msg("halfway"))
        }
    }
}

#[durawasm::activity(name = "LogLine")]
pub(crate) fn log_line(ctx: ActivityContext, line: String) -> Result<()> {
    ctx.info(&line);
    println!("stdout: {line}");
    eprintln!("stderr: {line}");
    Ok(())
}

/// The environment of activities.
#[durawasm::activity(name = "Environment")]
pub(crate) fn environment(_ctx: ActivityContext) -> Result<BTreeMap<String, String>> {
    Ok(std::env::vars().collect())
}
