//! An orchestration that gives another service a job and waits for it, for days if need be: the host makes the requests.

use durawasm::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Job {
    /// Takes the job with `POST`, and answers 202 with the place where it can be watched.
    url: String,
    order: Value,
    /// How long it may take.
    #[serde(default = "a_day")]
    seconds: u64,
}

fn a_day() -> u64 {
    24 * 60 * 60
}

#[durawasm::orchestrator(name = "E8_WatchJob")]
async fn watch_job(ctx: OrchestrationContext, job: Job) -> Result<Value> {
    ctx.set_custom_status(json!({"watching": job.url}))?;
    let call = HttpCall::post(&job.url)
        .json(&job.order)
        .header("Idempotency-Key", ctx.new_guid())
        .retry(RetryPolicy::new(5, Duration::from_secs(2)).backoff(2.0))
        .retry_statuses([429, 502, 503, 504])
        .timeout(Duration::from_secs(30));
    // While the service answers 202 the host goes on to ask, as often as the service says, and nothing runs here.
    let Some(answer) = ctx.call_http(call).timeout(Duration::from_secs(job.seconds)).await? else {
        return Err(Error::new("TooLate", format!("the job at {} took more than {} s", job.url, job.seconds)));
    };
    answer.successful()?.json()
}

durawasm::app!(watch_job);
