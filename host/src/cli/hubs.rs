//! `hub`: create, list, show, delete, export and import task hubs.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;

use super::args::TargetArgs;
use super::client::{Answer, Body, Client};
use super::config::{self, ConfigVerb};
use super::{CliError, backup, show};
use crate::api::encode;

/// What a 404 without words means.
pub(super) const NO_ROUTE: &str = "the server has no such route; is it a durawasm server?";

#[derive(Debug, Subcommand)]
pub(super) enum HubVerb {
    /// Create a task hub
    Create(NamedHub),
    /// List all task hubs
    List(ServerArgs),
    /// Show a task hub and what it has
    Show(NamedHub),
    /// Show what a task hub has, what it has used, and what it may
    Usage(NamedHub),
    /// Delete a task hub with all that it has
    Delete(DeleteArgs),
    /// Write a task hub into a file: apps, instances and what waits, without keys
    Export(ExportArgs),
    /// Make a task hub from such a file, under a name that none has
    Import(ImportArgs),
    /// Show and change what a task hub is configured to
    #[command(subcommand)]
    Config(ConfigVerb),
}

/// Which server, and how to print.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// The server
    #[arg(long, env = "DURAWASM_URL", default_value = "http://127.0.0.1:7071")]
    url: String,
    /// The key, if the server wants one
    #[arg(long, env = "DURAWASM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Certificates (PEM) that a server at https:// may have, beside those of the public authorities
    #[arg(long, env = "DURAWASM_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print what the server answers, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ServerArgs {
    pub(super) fn client(&self, hub: &str) -> Result<Client, CliError> {
        let (url, key, ca) = (self.url.clone(), self.key.clone(), self.ca.clone());
        Client::new(&TargetArgs { hub: hub.to_owned(), url, key, ca, json: self.json })
    }
}

#[derive(Debug, Args)]
pub(super) struct NamedHub {
    /// The task hub: 3 to 45 letters and digits, a letter first
    #[arg(value_name = "HUB")]
    pub(super) hub: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    hub: NamedHub,
    /// Delete it although instances of it have not ended
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    hub: NamedHub,
    /// Where it goes; replaced only by a whole one
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// With the values of its secrets, readable
    #[arg(long)]
    secrets: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    hub: NamedHub,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl NamedHub {
    async fn ask(&self, method: Method, query: &[(&str, &str)]) -> Result<Answer, CliError> {
        self.ask_for("", method, query).await
    }

    async fn ask_for(&self, part: &str, method: Method, query: &[(&str, &str)]) -> Result<Answer, CliError> {
        let path = format!("/admin/hubs/{}{part}", encode(&self.hub));
        self.server.client(&self.hub)?.send(method, &path, query, Body::None).await?.accepted(NO_ROUTE, "gone")
    }
}

pub(super) async fn run(verb: HubVerb) -> Result<(), CliError> {
    match verb {
        HubVerb::Create(args) => {
            let answer = args.ask(Method::PUT, &[]).await?;
            let done = if answer.status == reqwest::StatusCode::CREATED { "created" } else { "exists already" };
            say(&args.server, &answer, &format!("the task hub '{}': {done}", args.hub));
            Ok(())
        }
        HubVerb::Export(ExportArgs { hub, file, secrets }) => {
            let client = hub.server.client(&hub.hub)?;
            backup::export(&client, (&hub.hub, secrets), (&file, hub.server.json)).await
        }
        HubVerb::Import(args) => import(&args).await,
        HubVerb::Config(verb) => config::run(verb).await,
        HubVerb::List(server) => list(&server).await,
        HubVerb::Show(args) => show_hub(&args).await,
        HubVerb::Usage(args) => usage(&args).await,
        HubVerb::Delete(DeleteArgs { hub, force }) => {
            let force = if force { "true" } else { "false" };
            let answer = hub.ask(Method::DELETE, &[("force", force)]).await?;
            say(&hub.server, &answer, &format!("the task hub '{}' is being deleted with all that it has", hub.hub));
            Ok(())
        }
    }
}

/// What a server answered, or in words.
pub(super) fn say(server: &ServerArgs, answer: &Answer, text: &str) {
    match (server.json, answer.text.is_empty()) {
        (true, false) => show::line(&answer.text),
        (true, true) => show::line("{}"),
        (false, _) => show::line(text),
    }
}

async fn import(ImportArgs { hub, file }: &ImportArgs) -> Result<(), CliError> {
    let unreadable = |error| CliError::Refused(format!("cannot read {}: {error}", file.display()));
    let sent = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let path = format!("/admin/hubs/{}/import", encode(&hub.hub));
    let client = hub.server.client(&hub.hub)?;
    let answer = client.send(Method::PUT, &path, &[], Body::File(sent)).await?.accepted(NO_ROUTE, "gone")?;
    let made = answer.json()?;
    let count = |name: &str| made.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = format!(
        "the task hub '{}': imported with {} apps, {} instances and {} messages between them",
        hub.hub,
        count("apps"),
        count("instances"),
        count("messages")
    );
    say(&hub.server, &answer, &text);
    Ok(())
}

async fn list(server: &ServerArgs) -> Result<(), CliError> {
    let answer = server.client("")?.send(Method::GET, "/admin/hubs", &[], Body::None).await?;
    let answer = answer.accepted(NO_ROUTE, "gone")?;
    if server.json {
        show::line(&answer.text);
        return Ok(());
    }
    let hubs = answer.json()?.get("hubs").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |hub: &Value| ["name", "state", "created"].map(|field| show::field(hub, field)).to_vec();
    show::table(&hubs.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

async fn usage(args: &NamedHub) -> Result<(), CliError> {
    let answer = args.ask_for("/usage", Method::GET, &[]).await?;
    if args.server.json {
        show::line(&answer.text);
        return Ok(());
    }
    let usage = answer.json()?;
    let part = |name: &str| usage.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (quotas, now, used) = (part("quotas"), part("now"), part("used"));
    let mut rows = Vec::new();
    for (name, quota) in &quotas {
        let number = |part: &str| quota.get(part).filter(|number| !number.is_null()).map(Value::to_string);
        let limit = number("limit").map(|limit| format!("of {limit}"));
        rows.push(vec![name.clone(), number("used").unwrap_or_default(), limit.unwrap_or_default()]);
    }
    let others = now.iter().chain(&used).filter(|(name, _)| !quotas.contains_key(*name));
    rows.extend(others.map(|(name, value)| vec![name.clone(), value.to_string(), String::new()]));
    show::table(&rows);
    Ok(())
}

async fn show_hub(args: &NamedHub) -> Result<(), CliError> {
    let answer = args.ask(Method::GET, &[]).await?;
    if args.server.json {
        show::line(&answer.text);
        return Ok(());
    }
    let hub = answer.json()?;
    let mut facts: Vec<_> =
        ["name", "state", "created", "keys"].into_iter().map(|name| (name, show::field(&hub, name))).collect();
    let usage = hub.get("usage").and_then(Value::as_object).cloned().unwrap_or_default();
    facts.extend(usage.iter().map(|(name, value)| (name.as_str(), value.to_string())));
    show::facts(&facts);
    Ok(())
}
