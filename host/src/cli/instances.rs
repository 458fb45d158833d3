//! `get-instances` and `purge-history`.

use clap::{Args, ValueEnum};
use durawasm_core::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::TargetArgs;
use super::client::{Body, Client};
use super::manage::{BASE, no_instance};
use super::{CliError, show};
use crate::api::{encode, moment};

/// Instances asked for at once.
const PAGE: usize = 500;
/// How much of an id or a name a table shows.
const CELL: usize = 64;

/// A status, in whichever case.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "verbatim")]
enum StatusArg {
    #[value(alias = "running")]
    Running,
    #[value(alias = "completed")]
    Completed,
    #[value(alias = "failed")]
    Failed,
    #[value(alias = "terminated")]
    Terminated,
    #[value(alias = "canceled")]
    Canceled,
    #[value(alias = "pending")]
    Pending,
    #[value(alias = "suspended")]
    Suspended,
}

/// The times that the server understands.
fn time(text: &str) -> Result<Timestamp, String> {
    moment(text).ok_or_else(|| "write it as 2026-05-04T03:02:01Z or 2026-05-04".to_owned())
}

/// Which instances.
#[derive(Clone, Debug, Args)]
struct FilterArgs {
    /// Created at this time (UTC) or later
    #[arg(long, alias = "created-from", value_name = "TIME", value_parser = time)]
    created_after: Option<Timestamp>,
    /// Created at this time (UTC) or earlier
    #[arg(long, alias = "created-to", value_name = "TIME", value_parser = time)]
    created_before: Option<Timestamp>,
    /// In one of these statuses
    #[arg(long, value_name = "STATUS", value_delimiter = ',', num_args = 1..)]
    runtime_status: Vec<StatusArg>,
    /// Of this orchestrator
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// With an id that begins like this
    #[arg(long, value_name = "PREFIX")]
    id_prefix: Option<String>,
}

impl FilterArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.created_after.map(|at| ("createdTimeFrom", at.to_string())));
        query.extend(self.created_before.map(|at| ("createdTimeTo", at.to_string())));
        query.extend(self.name.clone().map(|name| ("name", name)));
        query.extend(self.id_prefix.clone().map(|prefix| ("instanceIdPrefix", prefix)));
        let statuses = self.runtime_status.iter().filter_map(ValueEnum::to_possible_value);
        query.extend(statuses.map(|status| ("runtimeStatus", status.get_name().to_owned())));
        query
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    top: usize,
    /// Show the inputs (with --json)
    #[arg(long)]
    show_input: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct PurgeArgs {
    /// One instance
    #[arg(
        long,
        required_unless_present = "created_after",
        conflicts_with_all = ["created_after", "created_before", "runtime_status", "name", "id_prefix"]
    )]
    id: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Purge the children that have ended, too
    #[arg(long)]
    recursive: bool,
    /// Terminate the instance first if it has not ended; only with --id
    #[arg(long, conflicts_with = "created_after")]
    force: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Pairs as the client wants them.
fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Goes from page to page, and prints each as it comes.
pub(super) async fn get_instances(args: ListArgs) -> Result<(), CliError> {
    let client = Client::new(&args.target)?;
    let path = format!("{BASE}/instances");
    let (mut shown, mut next) = (0, None::<String>);
    let mut rows = vec![["INSTANCE", "NAME", "STATUS", "CREATED", "UPDATED"].map(str::to_owned).to_vec()];
    if args.target.json {
        show::part("[");
    }
    while shown < args.top {
        let mut query = args.filter.query();
        query.push(("taskHub", args.target.hub.clone()));
        query.push(("top", (args.top - shown).min(PAGE).to_string()));
        query.push(("showInput", args.show_input.to_string()));
        let answer = client.page(&path, &borrowed(&query), next.as_deref()).await?;
        let answer = answer.accepted("the server has no such route; is it a durawasm server?", "gone")?;
        if args.target.json {
            // As the server wrote them: a value would lose the order of their fields.
            for instance in answer.parse::<Vec<Box<RawValue>>>()? {
                show::part(if shown == 0 { "" } else { "," });
                show::part(instance.get());
                shown += 1;
            }
        } else {
            let page = answer.parse::<Vec<Value>>()?;
            shown += page.len();
            rows.extend(page.iter().map(row));
        }
        next = answer.next;
        if next.is_none() {
            break;
        }
    }
    if args.target.json {
        show::line("]");
        return Ok(());
    }
    if shown > 0 {
        show::table(&rows);
    }
    if next.is_some() {
        show::note(&format!("{shown} instances, and there may be more: see --top"));
    } else if shown == 0 {
        show::note("no instances");
    }
    Ok(())
}

fn row(instance: &Value) -> Vec<String> {
    let cell = |name| show::shortened(&show::field(instance, name), CELL);
    // An id is there to be copied: it is never cut.
    let id = show::shortened(&show::field(instance, "instanceId"), usize::MAX);
    vec![id, cell("name"), cell("runtimeStatus"), cell("createdTime"), cell("lastUpdatedTime")]
}

pub(super) async fn purge_history(args: PurgeArgs) -> Result<(), CliError> {
    let client = Client::new(&args.target)?;
    let mut query = args.filter.query();
    query.push(("taskHub", args.target.hub.clone()));
    query.push(("recursive", args.recursive.to_string()));
    query.push(("force", args.force.to_string()));
    let path = match &args.id {
        Some(id) => format!("{BASE}/instances/{}", encode(id)),
        None => format!("{BASE}/instances"),
    };
    if args.id.is_none() && !args.target.json {
        show::note("purging; this may take a while when there are many");
    }
    let answer = client.send(Method::DELETE, &path, &borrowed(&query), Body::None).await?;
    let count = if args.id.is_none() && answer.status == StatusCode::NOT_FOUND && answer.text.is_empty() {
        // Nothing fits: then there is nothing to do, which is no failure.
        0
    } else {
        let missing = args.id.as_deref().map(|id| no_instance(id, &args.target)).unwrap_or_default();
        let answer = answer.accepted(&missing, "gone")?.json()?;
        answer.get("instancesDeleted").and_then(Value::as_u64).unwrap_or(0)
    };
    if args.target.json {
        show::line(&serde_json::json!({ "instancesDeleted": count }).to_string());
    } else {
        show::line(&format!("purged {count} {}", if count == 1 { "instance" } else { "instances" }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::args::{Cli, Verb};

    fn query(args: &[&str]) -> Option<String> {
        let query = match Cli::try_parse_from(args).ok()?.verb {
            Verb::GetInstances(args) => args.filter.query(),
            Verb::PurgeHistory(args) => args.filter.query(),
            _ => return None,
        };
        Some(query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
    }

    #[test]
    fn filters_become_a_query() {
        let args = ["durawasm", "get-instances", "--created-after", "2026-05-04T03:02:01Z", "--runtime-status"];
        assert_eq!(
            query(&[&args[..], &["failed,Running", "--name", "A"]].concat()).as_deref(),
            Some("createdTimeFrom=2026-05-04T03:02:01Z&name=A&runtimeStatus=Failed&runtimeStatus=Running")
        );
        assert_eq!(query(&[&args[..], &["nope"]].concat()), None);
        assert_eq!(query(&args[..2]).as_deref(), Some(""));
    }

    #[test]
    fn a_purge_says_what_it_means() {
        let purge = |args: &[&str]| query(&[&["durawasm", "purge-history"], args].concat());
        assert!(purge(&[]).is_none(), "everything is never meant");
        assert!(purge(&["--runtime-status", "failed"]).is_none());
        assert!(purge(&["--id", "a"]).is_some());
        assert!(purge(&["--id", "a", "--force", "--recursive"]).is_some());
        assert!(purge(&["--id", "a", "--created-after", "2026-05-04T03:02:01Z"]).is_none());
        assert!(purge(&["--created-after", "2026-05-04T03:02:01Z"]).is_some());
        assert_eq!(purge(&["--created-after", "2026-05-04"]).as_deref(), Some("createdTimeFrom=2026-05-04T00:00:00Z"));
        assert!(purge(&["--created-after", "yesterday"]).is_none());
        assert!(purge(&["--created-after", "2026-05-04T03:02:01Z", "--force"]).is_none());
    }
}
