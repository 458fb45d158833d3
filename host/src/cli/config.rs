//! `hub config`: what a task hub is configured to.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Answer, Body};
use super::hubs::{NO_ROUTE, NamedHub};
use super::{CliError, show};
use crate::api::encode;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Show the configuration as JSON, secrets by their names only
    Get(NamedHub),
    /// Change what the flags name; the rest stays as it is
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    hub: NamedHub,
    /// The whole configuration, as `get` shows it, from a file; the other flags change that
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// An environment variable of activities and client functions; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The same, whose value is never shown; NAME=@FILE reads it from a file
    #[arg(long = "secret", value_name = "NAME=VALUE")]
    secrets: Vec<String>,
    /// Remove a variable or a secret; may be given several times
    #[arg(long = "unset", value_name = "NAME")]
    unset: Vec<String>,
    /// Where guests may connect to, in place of all rules so far; may be given several times ('none': nowhere)
    #[arg(long = "egress", value_name = "RULE")]
    egress: Vec<String>,
    /// A limit such as openInstances=1000 ('none': no limit); may be given several times
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// How long ended instances are kept: days, 12h, 30d, 'forever', or 'default'
    #[arg(long, value_name = "TIME")]
    retention: Option<String>,
    /// What the paths of HTTP functions begin with, or 'default'
    #[arg(long, value_name = "PREFIX")]
    route_prefix: Option<String>,
}

pub(super) async fn run(verb: ConfigVerb) -> Result<(), CliError> {
    match verb {
        ConfigVerb::Get(hub) => print(&get(&hub).await?),
        ConfigVerb::Set(args) => set(args).await,
    }
}

fn path(hub: &NamedHub) -> String {
    format!("/admin/hubs/{}/config", encode(&hub.hub))
}

async fn get(hub: &NamedHub) -> Result<Answer, CliError> {
    let answer = hub.server.client(&hub.hub)?.send(Method::GET, &path(hub), &[], Body::None).await?;
    answer.accepted(NO_ROUTE, "gone")
}

fn print(answer: &Answer) -> Result<(), CliError> {
    let pretty = serde_json::to_string_pretty(&answer.json()?);
    show::line(&pretty.unwrap_or_else(|_| answer.text.clone()));
    Ok(())
}

async fn set(args: SetArgs) -> Result<(), CliError> {
    let before = get(&args.hub).await?;
    let mut config = match &args.file {
        Some(file) => document(file)?,
        None => before.parse()?,
    };
    apply(&args, &mut config)?;
    // What somebody else has changed since is not undone.
    let body = Body::Json(Value::Object(config).to_string());
    let client = args.hub.server.client(&args.hub.hub)?;
    let answer = client.put_if(&path(&args.hub), before.etag.as_deref(), body).await?;
    print(&answer.accepted(NO_ROUTE, "gone")?)
}

fn document(file: &Path) -> Result<Map<String, Value>, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Usage(format!("--file: cannot read {}: {error}", file.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| CliError::Usage(format!("--file: {} is no JSON object ({error})", file.display())))
}

fn apply(args: &SetArgs, config: &mut Map<String, Value>) -> Result<(), CliError> {
    for name in &args.unset {
        let known = [part(config, "env")?.remove(name), part(config, "secrets")?.remove(name)];
        if known.iter().all(Option::is_none) {
            return Err(CliError::Usage(format!("--unset: there is no variable and no secret '{name}'")));
        }
    }
    for text in &args.env {
        let (name, value) = pair("--env", text)?;
        part(config, "env")?.insert(name.to_owned(), json!(value));
    }
    for text in &args.secrets {
        let (name, value) = pair("--secret", text)?;
        let value = match value.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| CliError::Usage(format!("--secret {name}: cannot read {file}: {error}")))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => value.to_owned(),
        };
        part(config, "secrets")?.insert(name.to_owned(), json!(value));
    }
    match args.egress.as_slice() {
        [] => {}
        [none] if none == "none" => drop(config.insert("egress".to_owned(), json!([]))),
        rules => drop(config.insert("egress".to_owned(), json!(rules))),
    }
    for text in &args.limits {
        let (name, value) = pair("--limit", text)?;
        let limit = match value {
            "none" => Value::Null,
            number => json!(number.parse::<u64>().map_err(|_| {
                CliError::Usage(format!("--limit {name}: '{number}' is neither a whole number nor 'none'"))
            })?),
        };
        part(config, "limits")?.insert(name.to_owned(), limit);
    }
    for (name, value) in [("retention", &args.retention), ("routePrefix", &args.route_prefix)] {
        match value.as_deref() {
            Some("default") => drop(config.insert(name.to_owned(), Value::Null)),
            Some(value) => drop(config.insert(name.to_owned(), json!(value))),
            None => {}
        }
    }
    Ok(())
}

fn pair<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str), CliError> {
    text.split_once('=').ok_or_else(|| CliError::Usage(format!("{flag} is NAME=VALUE, not '{text}'")))
}

/// An object within the configuration; one that is missing is made.
fn part<'c>(config: &'c mut Map<String, Value>, name: &str) -> Result<&'c mut Map<String, Value>, CliError> {
    let part = config.entry(name).or_insert_with(|| json!({}));
    part.as_object_mut().ok_or_else(|| CliError::Usage(format!("the field '{name}' of the configuration is no object")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SetArgs,
    }

    fn applied(flags: &[&str], config: Value) -> Result<Value, CliError> {
        let line = Line::try_parse_from([&["set", "tenant"], flags].concat()).unwrap();
        let Value::Object(mut config) = config else { panic!("no object") };
        apply(&line.args, &mut config).map(|()| Value::Object(config))
    }

    #[test]
    fn flags_change_what_they_name() {
        let before = json!({"env": {"A": "1", "B": "2"}, "secrets": {"S": null}, "egress": ["x"], "retention": "1d"});
        let flags = [
            "--env",
            "A=3=4",
            "--unset",
            "B",
            "--secret",
            "T=t",
            "--egress",
            "none",
            "--limit",
            "apps=5",
            "--limit",
            "openInstances=none",
            "--retention",
            "default",
            "--route-prefix",
            "v1",
        ];
        let after = json!({
            "env": {"A": "3=4"}, "secrets": {"S": null, "T": "t"}, "egress": [],
            "limits": {"apps": 5, "openInstances": null}, "retention": null, "routePrefix": "v1",
        });
        assert_eq!(applied(&flags, before.clone()), Ok(after));
        assert_eq!(applied(&[], before.clone()), Ok(before.clone()));
        for (flag, value) in [("--env", "A"), ("--unset", "C"), ("--limit", "apps=many"), ("--secret", "S=@/no/file")] {
            assert!(
                matches!(applied(&[flag, value], before.clone()), Err(CliError::Usage(text)) if text.contains(flag))
            );
        }
    }
}
