//! A report every night, started by the clock.

use durawasm::prelude::*;

/// Runs at least once a night; the report has an id of its day, so that there is one of each.
#[durawasm::timer(name = "NightlyReport", schedule = "0 30 2 * * *")]
fn nightly_report(ctx: FunctionContext, timer: TimerInfo) -> Result<()> {
    if timer.is_past_due {
        ctx.warn("late: the server was down when it was time");
    }
    let today: String = Timestamp::now().to_string().chars().take("2026-01-31".len()).collect();
    let start = ctx.client().start_new("E8_Report").input(&today).instance_id(format!("report-{today}"));
    match start.reuse(Reuse::Never).send() {
        Ok(_) | Err(ClientError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[durawasm::orchestrator(name = "E8_Report")]
async fn report(ctx: OrchestrationContext, day: String) -> Result<String> {
    ctx.call_activity("E8_WriteReport", day).await
}

/// Stands for the real report: gives the name of its file.
#[durawasm::activity(name = "E8_WriteReport")]
fn write_report(_ctx: ActivityContext, day: String) -> Result<String> {
    Ok(format!("report-{day}.pdf"))
}

durawasm::app!(nightly_report, report, write_report);
