//! `move`, and what other verbs say about versions: `get-history --export`, `deploy --check`.

use std::path::Path;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::args::{InstanceArgs, TargetArgs};
use super::client::{Body, Client};
use super::manage::{BASE, no_instance, post};
use super::{CliError, show};
use crate::api::encode;

const NO_ROUTE: &str = "the server has no such route; is it a durawasm server?";

#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    /// One instance
    #[arg(long, required_unless_present = "app", conflicts_with = "app")]
    id: Option<String>,
    /// All instances of this app that have not ended
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Where to: 'current', or the digest of a version of the app
    #[arg(long, value_name = "DIGEST|current")]
    to: String,
    /// Its open sub-orchestrations of the same app as well, all or none (with --id)
    #[arg(long, conflicts_with = "app")]
    children: bool,
    /// Only say what could be moved (with --app)
    #[arg(long, requires = "app")]
    dry_run: bool,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) async fn move_instances(args: MoveArgs) -> Result<(), CliError> {
    let MoveArgs { id, app, to, children, dry_run, target } = args;
    match (id, app) {
        (Some(id), _) => move_one(InstanceArgs { id, target }, &to, children).await,
        (None, Some(app)) => move_app(&app, (&to, dry_run), &target).await,
        (None, None) => Err(CliError::Usage("name an instance with --id, or an app with --app".to_owned())),
    }
}

async fn move_one(args: InstanceArgs, to: &str, children: bool) -> Result<(), CliError> {
    let mut query = vec![("to", to)];
    query.extend(children.then_some(("children", "true")));
    let answer = post(&args, "move", &query, Body::None).await?;
    if args.target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let moved = answer.json()?;
    let what = |moved: &Value| if moved.get("moved") == Some(&Value::Bool(false)) { "unchanged" } else { "moved" };
    show::line(&format!("{}: instance '{}'", what(&moved), args.id));
    show::facts(&[("from", show::field(&moved, "from")), ("to", show::field(&moved, "to"))]);
    for child in moved.get("children").and_then(Value::as_array).into_iter().flatten() {
        show::line(&format!("{}: sub-orchestration '{}'", what(child), show::field(child, "instanceId")));
    }
    Ok(())
}

/// Goes from page to page. One that refuses to move leaves the others as they are, and the exit code says so.
async fn move_app(app: &str, (to, dry_run): (&str, bool), target: &TargetArgs) -> Result<(), CliError> {
    let client = Client::new(target)?;
    let path = format!("/admin/hubs/{}/apps/{}/move", encode(&target.hub), encode(app));
    let (mut moved, mut unchanged, mut refused, mut refusals) = (0, 0, 0, Vec::new());
    let mut after = None::<String>;
    loop {
        let mut query = vec![("to", to), ("dryRun", if dry_run { "true" } else { "false" })];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let answer = client.send(Method::POST, &path, &query, Body::None).await?.accepted(NO_ROUTE, "gone")?;
        let page = answer.json()?;
        let count = |name| page.get(name).and_then(Value::as_u64).unwrap_or(0);
        moved += count("moved");
        unchanged += count("unchanged");
        refused += count("refused");
        refusals.extend(page.get("refusals").and_then(Value::as_array).cloned().unwrap_or_default());
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    if target.json {
        let all = json!({"moved": moved, "unchanged": unchanged, "refused": refused, "dryRun": dry_run, "refusals": refusals});
        show::line(&all.to_string());
    } else {
        let what = if dry_run { "could be moved" } else { "moved" };
        show::line(&format!("{moved} {what}, {unchanged} on that version already, {refused} refused"));
        show::table(&refusals.iter().map(refusal).collect::<Vec<_>>());
    }
    match refused {
        0 => Ok(()),
        1 => Err(CliError::Refused("1 instance does not repeat its history on that version".to_owned())),
        many => Err(CliError::Refused(format!("{many} instances were not moved"))),
    }
}

fn refusal(refusal: &Value) -> Vec<String> {
    vec![show::field(refusal, "instanceId"), show::field(refusal, "reason")]
}

/// Writes the history of an instance to a file, in the portable form.
pub(super) async fn export(args: &InstanceArgs, file: &Path) -> Result<(), CliError> {
    let path = format!("{BASE}/instances/{}/history", encode(&args.id));
    let query = [("taskHub", args.target.hub.as_str()), ("format", "portable")];
    let bytes = match Client::new(&args.target)?.bytes(&path, &query).await? {
        Ok(bytes) => bytes,
        Err(answer) => {
            answer.accepted(&no_instance(&args.id, &args.target), "gone")?;
            return Err(CliError::Refused("the server did not send the history".to_owned()));
        }
    };
    std::fs::write(file, &bytes)
        .map_err(|error| CliError::Refused(format!("cannot write {}: {error}", file.display())))?;
    if args.target.json {
        show::line(&json!({"id": args.id, "file": file.display().to_string(), "bytes": bytes.len()}).to_string());
    } else {
        show::line(&format!("wrote the history of instance '{}' to {}", args.id, file.display()));
    }
    Ok(())
}

/// What `deploy --check` found.
pub(super) fn print_trial(trial: &Value) -> Result<(), CliError> {
    let verdict = trial.get("verdict").cloned().unwrap_or_default();
    show::facts(&[
        ("digest", show::field(trial, "digest")),
        ("open instances", counts(&verdict, "open")),
        ("ended instances", counts(&verdict, "closed")),
    ]);
    if verdict.get("complete") == Some(&Value::Bool(false)) {
        show::note("there are more open instances than were looked at");
    }
    print_diverging(&verdict);
    judge_trial(trial)
}

fn counts(verdict: &Value, which: &str) -> String {
    let count = |name: &str| verdict.pointer(&format!("/{which}/{name}")).and_then(Value::as_u64).unwrap_or(0);
    format!("{} compatible, {} diverging", count("compatible"), count("diverging"))
}

fn print_diverging(verdict: &Value) {
    let diverging = verdict.get("diverging").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |one: &Value| {
        let [id, status, reason] = ["instanceId", "runtimeStatus", "reason"].map(|name| show::field(one, name));
        vec![id, status, reason]
    };
    show::table(&diverging.iter().map(row).collect::<Vec<_>>());
}

/// What is known of an app's instances on other versions than its current one, if there is anything.
pub(super) fn print_aftermath(app: &Value) {
    let Some(verdict) = app.get("verdict") else { return };
    show::facts(&[
        ("verdict", show::field(verdict, "state")),
        ("open instances", counts(verdict, "open")),
        ("ended instances", counts(verdict, "closed")),
    ]);
    print_diverging(verdict);
}

/// The exit code of `deploy --check`: that some instances would not go on with the component is a refusal.
pub(super) fn judge_trial(trial: &Value) -> Result<(), CliError> {
    let diverging = trial.pointer("/verdict/diverging").and_then(Value::as_array).map_or(0, Vec::len);
    match diverging {
        0 => Ok(()),
        _ => Err(CliError::Refused(
            "the component does not repeat the histories above. Deployed, it would serve new instances; those that run keep \
             their version"
                .to_owned(),
        )),
    }
}
