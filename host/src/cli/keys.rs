//! `key`: make, list, rotate and revoke the keys of a task hub.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::args::TargetArgs;
use super::client::{Answer, Body, Client};
use super::duration::Retention;
use super::{CliError, show};
use crate::api::encode;

#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make a key; it is printed this once
    Create(CreateArgs),
    /// List the keys, without the keys themselves
    List(TargetArgs),
    /// Make a new key in the place of one; both hold for a while
    Rotate(RotateArgs),
    /// Revoke a key, and all that was minted with it
    Revoke(NamedKey),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What its owner calls it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it opens: manage, deploy, read or function:NAME; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct NamedKey {
    /// The key's name or id
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    key: NamedKey,
    /// How long the old key holds beside the new one: days, or a duration like 12h [default: a day]
    #[arg(long, value_name = "TIME", conflicts_with = "at_once")]
    overlap: Option<Retention>,
    /// The old key ends at once
    #[arg(long)]
    at_once: bool,
}

pub(super) async fn run(verb: KeyVerb) -> Result<(), CliError> {
    match verb {
        KeyVerb::Create(CreateArgs { name, scopes, target }) => {
            let body = Body::Json(json!({"name": name, "scopes": scopes}).to_string());
            print_key(&target, &ask(&target, (Method::POST, ""), &[], body).await?)
        }
        KeyVerb::List(target) => list(&target).await,
        KeyVerb::Rotate(RotateArgs { key, overlap, at_once }) => {
            let overlap = overlap.map(|overlap| overlap.0.as_secs()).or_else(|| at_once.then_some(0));
            let overlap = overlap.map(|seconds| seconds.to_string());
            let query: Vec<_> = overlap.iter().map(|seconds| ("overlap", seconds.as_str())).collect();
            let path = format!("/{}/rotate", encode(&key.name));
            print_key(&key.target, &ask(&key.target, (Method::POST, &path), &query, Body::None).await?)
        }
        KeyVerb::Revoke(NamedKey { name, target }) => {
            ask(&target, (Method::DELETE, &format!("/{}", encode(&name))), &[], Body::None).await?;
            show::line(&if target.json { json!({"revoked": name}).to_string() } else { format!("revoked '{name}'") });
            Ok(())
        }
    }
}

async fn ask(
    target: &TargetArgs,
    (method, path): (Method, &str),
    query: &[(&str, &str)],
    body: Body,
) -> Result<Answer, CliError> {
    let path = format!("/admin/hubs/{}/keys{path}", encode(&target.hub));
    let answer = Client::new(target)?.send(method, &path, query, body).await?;
    answer.accepted("the server has no such route; is it a durawasm server?", "gone")
}

fn print_key(target: &TargetArgs, answer: &Answer) -> Result<(), CliError> {
    if target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let key = answer.json()?;
    show::note("The server does not show this key again:");
    show::line(&show::field(&key, "key"));
    Ok(())
}

async fn list(target: &TargetArgs) -> Result<(), CliError> {
    let answer = ask(target, (Method::GET, ""), &[], Body::None).await?;
    if target.json {
        show::line(&answer.text);
        return Ok(());
    }
    let keys = answer.json()?.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let scopes = |key: &Value| {
        let scopes = key.get("scopes").and_then(Value::as_array).cloned().unwrap_or_default();
        scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let row =
        |key: &Value| vec![show::field(key, "id"), show::field(key, "name"), scopes(key), show::field(key, "created")];
    show::table(&keys.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
