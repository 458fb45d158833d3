//! The command line: `serve`, `dev`, `build`, `deploy` and the management verbs, which talk to a server over its HTTP API.
//!
//! Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 the server cannot be reached.

mod apps;
mod args;
mod backup;
mod build;
mod client;
mod config;
mod config_file;
mod dev;
mod duration;
mod hubs;
mod instances;
mod keys;
mod logs;
mod manage;
mod moves;
mod new;
mod replay;
mod serve;
mod show;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Verb};

/// Why a verb did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
enum CliError {
    /// Refused, or not found.
    Refused(String),
    /// The arguments make no sense.
    Usage(String),
    /// No server answers.
    Unreachable(String),
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Usage(text) | Self::Unreachable(text) => text,
        }
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    match parse().and_then(|cli| cli.map_or(Ok(()), |cli| run(cli.verb))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::problem(error.text());
            ExitCode::from(error.code())
        }
    }
}

/// The arguments, with what a configuration file adds; none: what would be used was to be shown and no more.
fn parse() -> Result<Option<Cli>, CliError> {
    let (args, from_file) = config_file::with_file(std::env::args_os().collect())?;
    let matches = Cli::command().get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Verb::Serve(args) = &cli.verb
        && args.print_config
        && let Some((_, serve)) = matches.subcommand()
    {
        show::part(&config_file::shown(serve, &from_file));
        return Ok(None);
    }
    Ok(Some(cli))
}

fn run(verb: Verb) -> Result<(), CliError> {
    // Compiling has no use for an async runtime, and a limited process has no room for one.
    if let Verb::Compile(args) = verb {
        let bounds = (args.memory, args.processor_time);
        return crate::server::compile_component(&args.input, &args.output, bounds).map_err(CliError::Refused);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Refused(format!("cannot start: {error}")))?;
    let done = runtime.block_on(dispatch(verb));
    // What still blocks in the background must not keep the process: everything acknowledged is durable by now.
    runtime.shutdown_background();
    done
}

async fn dispatch(verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Serve(args) => serve::serve(args.serve).await,
        Verb::Dev(args) => dev::dev(args).await,
        Verb::New(args) => new::new(&args),
        Verb::Build(args) => build::build_file(args).await,
        Verb::Deploy(args) => manage::deploy(args).await,
        Verb::StartNew(args) => manage::start_new(args).await,
        Verb::GetRuntimeStatus(args) => manage::get_runtime_status(args).await,
        Verb::GetHistory(args) => manage::get_history(args).await,
        Verb::Logs(args) => logs::logs(args).await,
        Verb::GetInstances(args) => instances::get_instances(args).await,
        Verb::PurgeHistory(args) => instances::purge_history(args).await,
        Verb::RaiseEvent(args) => manage::raise_event(args).await,
        Verb::Terminate(args) => manage::terminate(args).await,
        Verb::Suspend(args) => manage::with_reason(args, "suspend").await,
        Verb::Resume(args) => manage::with_reason(args, "resume").await,
        Verb::Rewind(args) => manage::rewind(args).await,
        Verb::Move(args) => moves::move_instances(args).await,
        Verb::Replay(args) => replay::replay(args).await,
        Verb::Restart(args) => manage::restart(args).await,
        Verb::Binding(args) => manage::binding(args).await,
        Verb::Backup(args) => backup::backup(args).await,
        Verb::Restore(args) => backup::restore(args).await,
        Verb::App(verb) => apps::run(verb).await,
        Verb::Hub(verb) => hubs::run(verb).await,
        Verb::Key(verb) => keys::run(verb).await,
        Verb::Compile(_) => Ok(()),
    }
}
