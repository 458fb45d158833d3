//! `app`: list, show and delete apps, and choose among their versions.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::args::TargetArgs;
use super::client::{Answer, Body, Client};
use super::hubs::NO_ROUTE;
use super::{CliError, moves, show};
use crate::api::{DEFAULT_HUB, encode};

/// Digits of a digest that people are shown.
const SHORT: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum AppVerb {
    /// List the apps of a task hub
    List(TargetArgs),
    /// Show an app: its current version and what it holds
    Show(NamedApp),
    /// List the versions of an app, with how many instances need each
    Versions(NamedApp),
    /// Make a version current: new instances take it, running ones keep theirs
    Activate(ActivateArgs),
    /// Remove an app with all its versions
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(super) struct NamedApp {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    #[command(flatten)]
    app: NamedApp,
    /// The version: the digest of its component, or the first 8 or more digits
    #[arg(long, value_name = "DIGEST")]
    digest: String,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    app: NamedApp,
    /// Terminate its instances that have not ended
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(verb: AppVerb) -> Result<(), CliError> {
    match verb {
        AppVerb::List(target) => {
            let answer = ask(&target, (Method::GET, ""), &[]).await?;
            print(&target, &answer, "apps", |app| {
                vec![show::field(app, "app"), short(app), show::field(app, "version"), show::field(app, "deployed")]
            })
        }
        AppVerb::Show(NamedApp { app, target }) => {
            let answer = ask(&target, (Method::GET, &format!("/{}", encode(&app))), &[]).await?;
            if !target.json {
                let app = answer.json()?;
                let names = ["app", "hub", "digest", "version", "size", "sdk", "deployed", "activities"];
                show::facts(&names.map(|name| (name, show::field(&app, name))));
                moves::print_aftermath(&app);
            }
            print(&target, &answer, "functions", |function| function_row(&target, function))
        }
        AppVerb::Versions(NamedApp { app, target }) => {
            let answer = ask(&target, (Method::GET, &format!("/{}/versions", encode(&app))), &[]).await?;
            print(&target, &answer, "versions", |version| {
                let current = if version.get("current") == Some(&Value::Bool(true)) { "current" } else { "" };
                let of = |name: &str| version.pointer(&format!("/instances/{name}")).map(Value::to_string);
                let instances = |name: &str| format!("{} {name}", of(name).unwrap_or_default());
                let (label, deployed) = (show::field(version, "version"), show::field(version, "deployed"));
                vec![short(version), label, deployed, instances("open"), instances("failed"), current.to_owned()]
            })
        }
        AppVerb::Activate(ActivateArgs { app: NamedApp { app, target }, digest }) => {
            let path = format!("/{}/versions/{}/activate", encode(&app), encode(&digest));
            let answer = ask(&target, (Method::POST, &path), &[]).await?;
            done(&target, &answer, &format!("the current version of '{app}' is {}", short(&answer.json()?)));
            Ok(())
        }
        AppVerb::Delete(DeleteArgs { app: NamedApp { app, target }, force }) => {
            let query = [("force", if force { "true" } else { "false" })];
            let answer = ask(&target, (Method::DELETE, &format!("/{}", encode(&app))), &query).await?;
            done(&target, &answer, &format!("removed the app '{app}'"));
            Ok(())
        }
    }
}

async fn ask(target: &TargetArgs, (method, path): (Method, &str), query: &[(&str, &str)]) -> Result<Answer, CliError> {
    let path = format!("/admin/hubs/{}/apps{path}", encode(&target.hub));
    Client::new(target)?.send(method, &path, query, Body::None).await?.accepted(NO_ROUTE, "gone")
}

fn done(target: &TargetArgs, answer: &Answer, text: &str) {
    match (target.json, answer.text.is_empty()) {
        (true, false) => show::line(&answer.text),
        (true, true) => show::line("{}"),
        (false, _) => show::line(text),
    }
}

/// The server's answer, or the rows of a list in it.
fn print(
    target: &TargetArgs,
    answer: &Answer,
    list: &str,
    row: impl Fn(&Value) -> Vec<String>,
) -> Result<(), CliError> {
    if target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let items = answer.json()?.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    show::table(&items.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// A function of an app: its kind, its name, and how it is set off.
pub(super) fn function_row(target: &TargetArgs, function: &Value) -> Vec<String> {
    let of = |name: &str| show::field(function, name);
    let (kind, name) = (of("kind"), of("name"));
    let how = match kind.as_str() {
        "http" => {
            let methods = function.get("methods").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let methods: Vec<_> = methods.iter().filter_map(Value::as_str).collect();
            let methods = if methods.is_empty() { "any method".to_owned() } else { methods.join(", ") };
            format!("{methods} {}", of("invokeUrl"))
        }
        "manual" => {
            let hub =
                if target.hub == DEFAULT_HUB { String::new() } else { format!("?taskHub={}", encode(&target.hub)) };
            format!("POST {}/admin/functions/{}{hub}", target.url.trim_end_matches('/'), encode(&name))
        }
        "timer" => of("schedule"),
        _ => String::new(),
    };
    vec![kind, name, how]
}

fn short(of: &Value) -> String {
    show::field(of, "digest").chars().take(SHORT).collect()
}
