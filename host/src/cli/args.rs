//! Verbs and flags. The management verbs are named as in `func durable`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::apps::AppVerb;
use super::backup::{BackupArgs, RestoreArgs};
use super::duration::{FunctionStay, Retention, RunAhead};
use super::hubs::HubVerb;
use super::instances::{ListArgs, PurgeArgs};
use super::keys::KeyVerb;
use super::moves::MoveArgs;
use super::replay::ReplayArgs;
use crate::engine::routes::Route;
use crate::net::otlp::OtlpOptions;
use crate::net::rules::{Rule, Rules};
use crate::origin::{Origin, Pages};
use crate::server::{ServerOptions, StoreChoice};

/// Self-hosted Durable Functions for WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "durawasm", version, about)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a server
    Serve(ServeVerb),
    /// Build the apps under a folder, serve them, and rebuild them when they change
    Dev(DevArgs),
    /// Make the files of a first app
    New(NewArgs),
    /// Build an app's component
    Build(BuildArgs),
    /// Deploy a component as an app
    Deploy(DeployArgs),
    /// Start an orchestration
    StartNew(StartArgs),
    /// Show the status of an instance
    GetRuntimeStatus(StatusArgs),
    /// Show the history of an instance
    GetHistory(HistoryArgs),
    /// Show what an instance and its activities have logged
    Logs(LogsArgs),
    /// List instances
    GetInstances(ListArgs),
    /// Remove instances that have ended, with their histories
    PurgeHistory(PurgeArgs),
    /// Raise an event on an instance
    RaiseEvent(EventArgs),
    /// End an instance from outside
    Terminate(TerminateArgs),
    /// Make an instance's code stand still until it is resumed
    Suspend(ReasonArgs),
    /// Let a suspended instance go on
    Resume(ReasonArgs),
    /// Let a failed instance go on from before its failure
    Rewind(RewindArgs),
    /// Let an instance, or those of an app, go on with another version of the app
    Move(MoveArgs),
    /// Run a component on an exported history: exit code 0 if it repeats it, 1 if not
    Replay(ReplayArgs),
    /// Start an instance anew with its name, input and tags
    Restart(RestartArgs),
    /// Print what the clients of the SDKs are constructed from, as JSON
    Binding(TargetArgs),
    /// Write everything a running server has into a file
    Backup(BackupArgs),
    /// Make a data directory from a backup; no server may run on it
    Restore(RestoreArgs),
    /// List and delete apps, and choose among their versions
    #[command(subcommand)]
    App(AppVerb),
    /// Create, list, show and delete task hubs
    #[command(subcommand)]
    Hub(HubVerb),
    /// Make, list, rotate and revoke the keys of a task hub
    #[command(subcommand)]
    Key(KeyVerb),
    /// Compile a component (run by the server)
    #[command(hide = true)]
    Compile(CompileArgs),
}

#[derive(Clone, Debug, Args)]
pub(super) struct ServeVerb {
    /// A file (TOML) with flags by their names; flags and the environment are worth more
    #[arg(long, env = "DURAWASM_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print what would be used, as a configuration file without secrets, and end
    #[arg(long)]
    pub(super) print_config: bool,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// An object of JSON a line
    Json,
}

fn log_filter(text: &str) -> Result<String, String> {
    let problem = |error| format!("{error}; write a level (info), or levels of parts (warn,durawasm_host=debug)");
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(problem)
}

#[derive(Clone, Debug, Args)]
pub(super) struct ServeArgs {
    /// The address to listen on; any but a loopback address needs --admin-key
    #[arg(long, env = "DURAWASM_LISTEN", default_value = "127.0.0.1:7071", value_name = "HOST:PORT")]
    listen: String,
    /// Where data is kept: sled:DIRECTORY or memory
    #[arg(long, env = "DURAWASM_STORE", default_value = "sled:./.durawasm")]
    store: StoreChoice,
    /// The key that requests must bring (code=, x-functions-key or Authorization: Bearer)
    #[arg(long, env = "DURAWASM_ADMIN_KEY", hide_env_values = true, value_name = "KEY")]
    pub(super) admin_key: Option<String>,
    /// The origin of links when a request names none [default: the listen address]
    #[arg(long, env = "DURAWASM_PUBLIC_URL", value_name = "URL")]
    public_url: Option<Origin>,
    /// Believe X-Forwarded-Host and X-Forwarded-Proto: only behind a proxy that sets them
    #[arg(long, env = "DURAWASM_TRUST_PROXY")]
    trust_proxy: bool,
    /// Purge instances that ended longer ago than this: days, or a duration like 12h or 30d [default: keep them]
    #[arg(long, env = "DURAWASM_RETENTION", value_name = "DAYS")]
    retention: Option<Retention>,
    /// How long an orchestration may go on, from one activity that nobody outside can see to the next, before all of that is written at once; 0: each step is written before the next
    #[arg(long, env = "DURAWASM_RUN_AHEAD", default_value = "2ms", value_name = "DURATION")]
    run_ahead: RunAhead,
    /// How long an instance of an app that has answered an HTTP call stays for the next one, if it has used nothing but the durable client and its log; 0: each call has an instance of its own
    #[arg(long, env = "DURAWASM_FUNCTION_STAY", default_value = "2s", value_name = "DURATION")]
    function_stay: FunctionStay,
    /// Let web pages of this origin use the server; may be repeated ('*', all of them, needs --admin-key) [default: none]
    #[arg(long = "cors-origin", env = "DURAWASM_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    cors_origins: Vec<Pages>,
    /// A host that functions may reach: HOST[:PORT], *.DOMAIN, an address or network, or * for all public ones; may be repeated [default: none; of dev all public ones]
    #[arg(long, env = "DURAWASM_EGRESS", value_name = "HOST[:PORT]", value_delimiter = ',')]
    egress: Vec<Rule>,
    /// Certificates (PEM) that functions' TLS trusts beside the public authorities
    #[arg(long, env = "DURAWASM_EGRESS_CA", value_name = "FILE")]
    egress_ca: Option<PathBuf>,
    /// What the paths of HTTP functions begin with; may be empty. The management paths always win
    #[arg(long, env = "DURAWASM_ROUTE_PREFIX", default_value = "api", value_name = "PREFIX", value_parser = Route::prefix)]
    route_prefix: String,
    /// What is logged: a level, or levels of parts as in warn,durawasm_host=debug [default: RUST_LOG, or info; of dev warn]
    #[arg(long, env = "DURAWASM_LOG", value_name = "FILTER", value_parser = log_filter)]
    pub(super) log: Option<String>,
    /// How the log is written
    #[arg(long, env = "DURAWASM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// An OpenTelemetry collector that takes spans as OTLP over HTTP in protobuf, such as http://127.0.0.1:4318 [default: none]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// A header for the collector, the value percent-encoded where it has commas or spaces; may be repeated
    #[arg(
        long = "otlp-header",
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        value_name = "NAME=VALUE",
        value_delimiter = ','
    )]
    otlp_headers: Vec<String>,
    /// What the server is called in traces
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "durawasm", value_name = "NAME")]
    otlp_service_name: String,
    /// For benchmarks: microseconds added to every sync, as a slower disk would
    #[arg(long, hide = true, value_name = "MICROSECONDS")]
    bench_sync_delay_us: Option<u64>,
}

impl ServeArgs {
    /// The options of a server for development: functions may reach everything public.
    pub(super) fn open_options(self) -> ServerOptions {
        let egress = Rules::everything_public_and(self.egress.clone());
        ServerOptions { egress, ..self.options() }
    }

    pub(super) fn options(self) -> ServerOptions {
        // Set but empty is not set.
        let endpoint = self.otlp_endpoint.filter(|endpoint| !endpoint.is_empty());
        let otlp = endpoint.map(|endpoint| OtlpOptions {
            endpoint,
            headers: self.otlp_headers,
            service_name: self.otlp_service_name,
        });
        ServerOptions {
            listen: self.listen,
            store: self.store,
            admin_key: self.admin_key,
            public_url: self.public_url,
            trust_proxy: self.trust_proxy,
            retention: self.retention.map(|retention| retention.0),
            run_ahead: self.run_ahead.0,
            function_stay: self.function_stay.0,
            cors_origins: self.cors_origins,
            egress: Rules::new(self.egress),
            egress_ca: self.egress_ca,
            otlp,
            route_prefix: self.route_prefix,
            sync_delay: self.bench_sync_delay_us.map(Duration::from_micros),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct DevArgs {
    /// A function app, or a folder with apps
    pub(super) path: PathBuf,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The folder of the app; its name is the app's
    #[arg(value_name = "NAME")]
    pub(super) path: PathBuf,
    /// The language
    #[arg(long)]
    pub(super) lang: LanguageArg,
    /// The folder of the Rust SDK [default: guest-sdk/rust above the app or the program]
    #[arg(long, value_name = "FOLDER")]
    pub(super) sdk: Option<PathBuf>,
}

/// The language of a new app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LanguageArg {
    /// Rust
    Rust,
    /// Python
    Python,
    /// JavaScript
    Js,
    /// TypeScript
    Ts,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The function app
    pub(super) path: PathBuf,
    /// Where the component goes [default: NAME.wasm in this folder]
    #[arg(long, short, value_name = "FILE.wasm")]
    pub(super) output: Option<PathBuf>,
}

/// Which server, and how to print.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArgs {
    /// The task hub
    #[arg(long, env = "DURAWASM_HUB", default_value = crate::api::DEFAULT_HUB)]
    pub(super) hub: String,
    /// The server
    #[arg(long, env = "DURAWASM_URL", default_value = "http://127.0.0.1:7071")]
    pub(super) url: String,
    /// The key, if the server wants one
    #[arg(long, env = "DURAWASM_KEY", hide_env_values = true)]
    pub(super) key: Option<String>,
    /// Certificates (PEM) that a server at https:// may have, beside those of the public authorities
    #[arg(long, env = "DURAWASM_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Print what the server answers, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub(super) file: PathBuf,
    /// The app it becomes
    #[arg(long, value_name = "NAME")]
    pub(super) app: String,
    /// Whether an orchestrator that has returned is over although activities or children of it are open [default: as before, at first false]
    #[arg(long, value_name = "BOOL")]
    pub(super) complete_early: Option<bool>,
    /// On which version instances call functions of their own app [default: as before, at first pinned]
    #[arg(long)]
    pub(super) activities: Option<ActivitiesArg>,
    /// Deploy nothing: say which instances of the app the component could not go on with
    #[arg(long)]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// On which version of their own app instances call functions.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ActivitiesArg {
    /// The one they are pinned to
    Pinned,
    /// The app's current one
    Current,
}

/// Which existing instance a start may replace.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ReuseArg {
    /// None
    Never,
    /// One that has ended
    Terminal,
    /// Any; one that has not ended is terminated first
    Any,
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// The orchestrator function
    #[arg(value_name = "NAME", required_unless_present = "function_name", conflicts_with = "function_name")]
    name: Option<String>,
    /// The same as a flag
    #[arg(long, value_name = "NAME")]
    function_name: Option<String>,
    /// The input: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub(super) input: Option<String>,
    /// The instance id [default: a new one]
    #[arg(long)]
    pub(super) id: Option<String>,
    /// What may happen to an instance that has the id already [default: terminal]
    #[arg(long)]
    pub(super) reuse: Option<ReuseArg>,
    /// The version label [default: the app's own]
    #[arg(long, value_name = "LABEL")]
    pub(super) version: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    pub(super) tags: Vec<String>,
    /// When it starts, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

impl StartArgs {
    /// The orchestrator function, in whichever way it was given.
    pub(super) fn function(&self) -> &str {
        self.name.as_deref().or(self.function_name.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Show the input
    #[arg(long)]
    pub(super) show_input: bool,
    /// Show the output
    #[arg(long)]
    pub(super) show_output: bool,
}

#[derive(Debug, Args)]
pub(super) struct InstanceArgs {
    /// The instance
    #[arg(long)]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Go on until the instance has ended; with --json, print a line of JSON for each line
    #[arg(long, short)]
    pub(super) follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct EventArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// The event's name; upper and lower case are the same
    #[arg(long, value_name = "NAME")]
    pub(super) event_name: String,
    /// What comes with it: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub(super) event_data: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ReasonArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Why
    #[arg(long)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Write it to this file, with all payloads, in the form that `replay` reads
    #[arg(long, value_name = "FILE")]
    pub(super) export: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RewindArgs {
    #[command(flatten)]
    pub(super) reason: ReasonArgs,
    /// Go on with the app's current version [default: the version it ran on]
    #[arg(long)]
    pub(super) version: Option<VersionArg>,
}

/// On which version a rewound instance goes on.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum VersionArg {
    /// The app's current one
    Current,
}

#[derive(Debug, Args)]
pub(super) struct TerminateArgs {
    #[command(flatten)]
    pub(super) reason: ReasonArgs,
    /// End its sub-orchestrations, too
    #[arg(long)]
    pub(super) recursive: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Keep the instance id; the instance must have ended [default: a new id]
    #[arg(long)]
    pub(super) same_id: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompileArgs {
    /// The component
    #[arg(long)]
    pub(super) input: PathBuf,
    /// Where the compiled code goes
    #[arg(long)]
    pub(super) output: PathBuf,
    /// Address space that this process may have
    #[arg(long, value_name = "BYTES")]
    pub(super) memory: u64,
    /// Processor time that this process may use
    #[arg(long, value_name = "SECONDS")]
    pub(super) processor_time: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_function_is_named_in_either_way_but_once() {
        let function = |args: &[&str]| match Cli::try_parse_from(args).map(|cli| cli.verb) {
            Ok(Verb::StartNew(args)) => Some(args.function().to_owned()),
            _ => None,
        };
        assert_eq!(function(&["durawasm", "start-new", "Hello"]).as_deref(), Some("Hello"));
        assert_eq!(function(&["durawasm", "start-new", "--function-name", "Hello"]).as_deref(), Some("Hello"));
        assert_eq!(function(&["durawasm", "start-new"]), None);
        assert_eq!(function(&["durawasm", "start-new", "A", "--function-name", "B"]), None);
    }
}
