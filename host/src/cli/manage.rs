//! `deploy` and the management verbs.

use std::path::Path;

use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::apps::function_row;
use super::args::{
    ActivitiesArg, DeployArgs, EventArgs, HistoryArgs, InstanceArgs, ReasonArgs, RestartArgs, ReuseArg, RewindArgs,
    StartArgs, StatusArgs, TargetArgs, TerminateArgs, VersionArg,
};
use super::client::{Answer, Body, Client};
use super::{CliError, moves, show};
use crate::api::encode;

/// The base that takes a key and works with every server.
pub(super) const BASE: &str = "/runtime/webhooks/durabletask";
/// How much of a detail a table shows.
const DETAIL: usize = 100;

pub(super) async fn deploy(args: DeployArgs) -> Result<(), CliError> {
    let component = std::fs::read(&args.file)
        .map_err(|error| CliError::Refused(format!("cannot read {}: {error}", args.file.display())))?;
    let path = format!("/admin/hubs/{}/apps/{}", encode(&args.target.hub), encode(&args.app));
    let mut query = Vec::new();
    query.extend(args.complete_early.map(|early| ("completeEarly", if early { "true" } else { "false" })));
    query.extend(args.activities.map(|version| match version {
        ActivitiesArg::Pinned => ("activities", "pinned"),
        ActivitiesArg::Current => ("activities", "current"),
    }));
    query.extend(args.check.then_some(("check", "true")));
    let answer = Client::new(&args.target)?.send(Method::PUT, &path, &query, Body::Component(component)).await?;
    let answer = answer.accepted("the server has no such route; is it a durawasm server?", "gone")?;
    if args.target.json {
        show::line(&answer.text);
        return if args.check { moves::judge_trial(&answer.json()?) } else { Ok(()) };
    }
    let app = answer.json()?;
    if args.check {
        return moves::print_trial(&app);
    }
    let what = if app.get("changed") == Some(&Value::Bool(false)) { "unchanged" } else { "deployed" };
    show::line(&format!("{what}: app '{}' in hub '{}'", args.app, args.target.hub));
    show::facts(&[("digest", show::field(&app, "digest")), ("version", show::field(&app, "version"))]);
    let functions = app.get("functions").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |function: &Value| function_row(&args.target, function);
    show::table(&functions.iter().map(row).collect::<Vec<_>>());
    if app.pointer("/verdict/state").is_some_and(|state| state == "waiting" || state == "running") {
        show::note(&format!(
            "instances of the app keep their version; which of them could be moved to this one is being found out: durawasm app \
             show {}",
            args.app
        ));
    }
    Ok(())
}

pub(super) async fn start_new(args: StartArgs) -> Result<(), CliError> {
    let body = json_body(args.input.as_deref(), "--input")?;
    let mut path = format!("{BASE}/orchestrators/{}", encode(args.function()));
    if let Some(id) = &args.id {
        path = format!("{path}/{}", encode(id));
    }
    let mut query = vec![("taskHub", args.target.hub.as_str())];
    if let Some(reuse) = args.reuse {
        query.push((
            "reuse",
            match reuse {
                ReuseArg::Never => "never",
                ReuseArg::Terminal => "terminal",
                ReuseArg::Any => "any",
            },
        ));
    }
    query.extend(args.version.as_deref().map(|version| ("version", version)));
    query.extend(args.at.as_deref().map(|at| ("scheduledStartTime", at)));
    if let Some(bad) = args.tags.iter().find(|tag| tag.contains(',') || !tag.contains('=')) {
        return Err(CliError::Usage(format!("--tag is NAME=VALUE without commas, not '{bad}'")));
    }
    query.extend(args.tags.iter().map(|tag| ("tags", tag.as_str())));
    let answer = Client::new(&args.target)?.send(Method::POST, &path, &query, body).await?;
    let answer = answer.accepted("the server has no such route; is it a durawasm server?", "gone")?;
    if args.target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let links = answer.json()?;
    show::line(&format!("started '{}'", args.function()));
    show::facts(&[("id", show::field(&links, "id")), ("status", show::field(&links, "statusQueryGetUri"))]);
    Ok(())
}

pub(super) async fn get_runtime_status(args: StatusArgs) -> Result<(), CliError> {
    let show_input = if args.show_input { "true" } else { "false" };
    let answer = get(&args.instance, &[("showInput", show_input)]).await?;
    if args.instance.target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let status = answer.json()?;
    let mut rows = vec![
        ("name", show::field(&status, "name")),
        ("id", show::field(&status, "instanceId")),
        ("status", show::field(&status, "runtimeStatus")),
        ("created", show::field(&status, "createdTime")),
        ("updated", show::field(&status, "lastUpdatedTime")),
        ("custom status", show::field(&status, "customStatus")),
    ];
    if args.show_input {
        rows.push(("input", show::field(&status, "input")));
    }
    if args.show_output {
        rows.push(("output", show::field(&status, "output")));
    }
    show::facts(&rows);
    Ok(())
}

pub(super) async fn get_history(HistoryArgs { instance: args, export }: HistoryArgs) -> Result<(), CliError> {
    if let Some(file) = export {
        return moves::export(&args, &file).await;
    }
    let answer = get(&args, &[("showHistory", "true"), ("showHistoryOutput", "true")]).await?;
    if args.target.json {
        show::line(&raw_history(&answer)?);
        return Ok(());
    }
    let status = answer.json()?;
    let events = status.get("historyEvents").and_then(Value::as_array).cloned().unwrap_or_default();
    show::table(&events.iter().map(history_row).collect::<Vec<_>>());
    Ok(())
}

/// The events as the server wrote them: a [`Value`] would lose the order of their fields. A pending instance has none.
fn raw_history(answer: &Answer) -> Result<String, CliError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        history_events: Option<Box<RawValue>>,
    }
    let status: Status = answer.parse()?;
    Ok(status.history_events.map_or_else(|| "[]".to_owned(), |events| events.get().to_owned()))
}

fn history_row(event: &Value) -> Vec<String> {
    // The first of these that an event has says most about it.
    let name =
        ["FunctionName", "Name", "OrchestrationStatus", "FireAt"].iter().find(|name| event.get(**name).is_some());
    let detail =
        ["Reason", "Result", "Input"].iter().find(|name| event.get(**name).is_some_and(|value| !value.is_null()));
    let text = |name: Option<&&str>| name.map(|name| show::field(event, name)).unwrap_or_default();
    vec![
        show::field(event, "Timestamp"),
        show::field(event, "EventType"),
        text(name),
        show::shortened(&text(detail), DETAIL),
    ]
}

pub(super) async fn raise_event(args: EventArgs) -> Result<(), CliError> {
    let body = match json_body(args.event_data.as_deref(), "--event-data")? {
        Body::None => Body::Json("null".to_owned()),
        body @ (Body::Json(_) | Body::Component(_) | Body::File(_)) => body,
    };
    let action = format!("raiseEvent/{}", encode(&args.event_name));
    post(&args.instance, &action, &[], body).await?;
    done(&args.instance, "raiseEvent", &format!("raised '{}' on instance '{}'", args.event_name, args.instance.id));
    Ok(())
}

pub(super) async fn rewind(args: RewindArgs) -> Result<(), CliError> {
    let query: &[_] = match args.version {
        Some(VersionArg::Current) => &[("version", "current")],
        None => &[],
    };
    send_reason(args.reason, "rewind", query).await
}

/// `suspend`, `resume`.
pub(super) async fn with_reason(args: ReasonArgs, action: &str) -> Result<(), CliError> {
    send_reason(args, action, &[]).await
}

pub(super) async fn terminate(args: TerminateArgs) -> Result<(), CliError> {
    let query: &[_] = if args.recursive { &[("recursive", "true")] } else { &[] };
    send_reason(args.reason, "terminate", query).await
}

async fn send_reason(args: ReasonArgs, action: &str, query: &[(&str, &str)]) -> Result<(), CliError> {
    let mut query = query.to_vec();
    query.extend(args.reason.as_deref().map(|reason| ("reason", reason)));
    post(&args.instance, action, &query, Body::None).await?;
    done(&args.instance, action, &format!("asked instance '{}' to {action}", args.instance.id));
    Ok(())
}

pub(super) async fn restart(args: RestartArgs) -> Result<(), CliError> {
    let fresh = if args.same_id { "false" } else { "true" };
    let answer = post(&args.instance, "restart", &[("restartWithNewInstanceId", fresh)], Body::None).await?;
    if args.instance.target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let links = answer.json()?;
    show::line(&format!("restarted instance '{}'", args.instance.id));
    show::facts(&[("id", show::field(&links, "id")), ("status", show::field(&links, "statusQueryGetUri"))]);
    Ok(())
}

/// The server's own words, in one line: it fits into a client's configuration as it is.
pub(super) async fn binding(target: TargetArgs) -> Result<(), CliError> {
    let path = format!("/admin/hubs/{}/binding", encode(&target.hub));
    let answer = Client::new(&target)?.send(Method::GET, &path, &[], Body::None).await?;
    show::line(&answer.accepted("the server has no such route; is it a durawasm server?", "gone")?.text);
    Ok(())
}

fn done(args: &InstanceArgs, action: &str, text: &str) {
    if args.target.json {
        show::line(&json!({"id": args.id, "accepted": action}).to_string());
    } else {
        show::line(text);
    }
}

async fn get(args: &InstanceArgs, query: &[(&str, &str)]) -> Result<Answer, CliError> {
    let query = [&[("taskHub", args.target.hub.as_str())], query].concat();
    let path = format!("{BASE}/instances/{}", encode(&args.id));
    let answer = Client::new(&args.target)?.send(Method::GET, &path, &query, Body::None).await?;
    answer.accepted(&no_instance(&args.id, &args.target), "gone")
}

pub(super) async fn post(
    args: &InstanceArgs,
    action: &str,
    query: &[(&str, &str)],
    body: Body,
) -> Result<Answer, CliError> {
    let query = [&[("taskHub", args.target.hub.as_str())], query].concat();
    let path = format!("{BASE}/instances/{}/{action}", encode(&args.id));
    let answer = Client::new(&args.target)?.send(Method::POST, &path, &query, body).await?;
    let ended = format!("instance '{}' has ended already", args.id);
    answer.accepted(&no_instance(&args.id, &args.target), &ended)
}

pub(super) fn no_instance(id: &str, target: &TargetArgs) -> String {
    format!("there is no instance '{id}' in hub '{}'", target.hub)
}

/// JSON from the command line, or from a file when it begins with `@`; checked here, where the flag can be named.
fn json_body(text: Option<&str>, flag: &str) -> Result<Body, CliError> {
    let Some(text) = text else { return Ok(Body::None) };
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(Path::new(file))
            .map_err(|error| CliError::Usage(format!("{flag}: cannot read {file}: {error}")))?,
        None => text.to_owned(),
    };
    if let Err(error) = serde_json::from_str::<&RawValue>(&text) {
        return Err(CliError::Usage(format!("{flag} is not JSON ({error}); a string needs its quotes: '\"text\"'")));
    }
    Ok(Body::Json(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_json_or_a_file() {
        assert!(matches!(json_body(Some("{\"a\":1}"), "--input"), Ok(Body::Json(text)) if text == "{\"a\":1}"));
        assert!(matches!(json_body(None, "--input"), Ok(Body::None)));
        assert!(matches!(json_body(Some("hello"), "--input"), Err(CliError::Usage(text)) if text.contains("--input")));
        assert!(matches!(json_body(Some("@/no/such/file"), "--input"), Err(CliError::Usage(_))));
    }

    #[test]
    fn history_rows_say_what_matters() {
        let event =
            json!({"EventType": "TaskCompleted", "Timestamp": "t", "Result": [1], "FunctionName": "Say", "Input": "2"});
        assert_eq!(history_row(&event), ["t", "TaskCompleted", "Say", "[1]"]);
        let event = json!({"EventType": "TimerCreated", "Timestamp": "t", "FireAt": "u"});
        assert_eq!(history_row(&event), ["t", "TimerCreated", "u", ""]);
    }
}
