//! `logs`: what an instance and its activities have logged.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::LogsArgs;
use super::client::{Answer, Body, Client};
use super::manage::{BASE, no_instance};
use super::{CliError, show};
use crate::api::encode;

/// Lines asked for at once.
const PAGE: &str = "1000";
/// Between two looks at an instance that is followed.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Page {
    lines: Vec<Box<RawValue>>,
    next: u64,
    dropped: bool,
}

pub(super) async fn logs(args: LogsArgs) -> Result<(), CliError> {
    let (id, target) = (&args.instance.id, &args.instance.target);
    let client = Client::new(target)?;
    let path = format!("{BASE}/instances/{}", encode(id));
    let get = async |path: &str, query: &[(&str, &str)]| -> Result<Answer, CliError> {
        let query = [&[("taskHub", target.hub.as_str())], query].concat();
        client
            .send(Method::GET, path, &query, Body::None)
            .await?
            .accepted(&no_instance(id, target), "the instance has ended")
    };
    let mut after = 0;
    loop {
        // Asked first: what is logged before an instance ends is then in the page after it.
        let ended = args.follow && get(&path, &[("showInput", "false")]).await?.status == StatusCode::OK;
        loop {
            let answer = get(&format!("{path}/logs"), &[("after", &after.to_string()), ("limit", PAGE)]).await?;
            if target.json && !args.follow {
                show::line(&answer.text);
                return Ok(());
            }
            let page: Page = answer.parse()?;
            if page.dropped {
                show::note("older lines were dropped");
            }
            for line in &page.lines {
                show::line(&if target.json { line.get().to_owned() } else { text(line) });
            }
            after = page.next;
            if page.lines.is_empty() {
                break;
            }
        }
        if ended || !args.follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A line for people. What a guest wrote must not move the cursor of whoever reads it.
fn text(line: &RawValue) -> String {
    let line: Value = serde_json::from_str(line.get()).unwrap_or_default();
    let part = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let attempt = match line["attempt"].as_u64() {
        Some(attempt) if attempt > 1 => format!(" (attempt {attempt})"),
        Some(_) | None => String::new(),
    };
    let message = part("message").replace(|character: char| character.is_control() && character != '\t', " ");
    let (time, level) = (part("time"), part("level").to_uppercase());
    format!("{time} {level:5} {} {}{attempt}: {message}", part("kind"), part("function"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_people_and_move_no_cursor() {
        let line = r#"{"sequence":1,"time":"2026-05-04T03:02:01Z","level":"info","kind":"activity","function":"Pay","attempt":2,"message":"a\u001b[2Jb"}"#;
        let line = RawValue::from_string(line.to_owned()).unwrap();
        assert_eq!(text(&line), "2026-05-04T03:02:01Z INFO  activity Pay (attempt 2): a [2Jb");
    }
}
