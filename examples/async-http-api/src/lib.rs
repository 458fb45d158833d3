//! Long work behind HTTP: the start answers at once with a URL, the URL tells how far the work is, then its result.

use durawasm::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Export {
    rows: u32,
    rows_a_step: u32,
}

#[durawasm::orchestrator(name = "E5_Export")]
async fn export(ctx: OrchestrationContext, export: Export) -> Result<Vec<String>> {
    if export.rows_a_step == 0 {
        durawasm::bail!("rows_a_step is 0: nothing would ever be written");
    }
    let mut files = vec![];
    let mut done = 0;
    while done < export.rows {
        // Whoever polls the status URL sees this as `customStatus`.
        ctx.set_custom_status(json!({"rows": done, "of": export.rows}))?;
        let end = export.rows.min(done.saturating_add(export.rows_a_step));
        files.push(ctx.call_activity("E5_WriteRows", (done, end)).await?);
        done = end;
    }
    ctx.set_custom_status(json!({"rows": done, "of": export.rows}))?;
    Ok(files)
}

/// Stands for the real export: gives the name of the file with these rows.
#[durawasm::activity(name = "E5_WriteRows")]
fn write_rows(_ctx: ActivityContext, (from, to): (u32, u32)) -> Result<String> {
    std::thread::sleep(Duration::from_millis(50));
    Ok(format!("rows-{from}-{to}.csv"))
}

durawasm::app!(export, write_rows);
