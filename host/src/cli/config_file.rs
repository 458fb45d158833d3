//! `serve --config FILE.toml`: the flags of `serve` by their names. A flag is worth more than the environment, that more
//! than the file, that more than a default.
//!
//! What the file says becomes flags, so that there is one place that knows and checks them.

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use toml::de::{DeTable, DeValue};

use super::CliError;
use super::args::Cli;

/// What only the command line says.
const NOT_IN_FILES: [&str; 4] = ["config", "print-config", "help", "version"];
/// What is not printed.
const SECRETS: [&str; 2] = ["admin-key", "otlp-header"];
/// What is printed in the place of a secret.
const HIDDEN: &str = "***";

/// The command line with what the configuration file adds to it, if it names one; and the names of that.
pub(super) fn with_file(args: Vec<OsString>) -> Result<(Vec<OsString>, Vec<String>), CliError> {
    let matches = Cli::command().try_get_matches_from(&args);
    let Ok(matches) = matches else { return Ok((args, Vec::new())) };
    let Some(("serve", serve)) = matches.subcommand() else { return Ok((args, Vec::new())) };
    let Some(path) = serve.get_one::<std::path::PathBuf>("config") else { return Ok((args, Vec::new())) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("cannot read the configuration {}: {error}", path.display())))?;
    let given = |arg: &Arg| {
        let source = serve.value_source(arg.get_id().as_str());
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let (mut flags, mut names) = (Vec::new(), Vec::new());
    for (arg, flag) in read(path, &text)? {
        if !given(&arg) {
            names.extend(arg.get_long().map(str::to_owned));
            flags.extend(flag.into_iter().map(OsString::from));
        }
    }
    // After the program and the verb.
    let rest = args.get(2..).unwrap_or_default().to_vec();
    let all = args.into_iter().take(2).chain(flags).chain(rest).collect();
    Ok((all, names))
}

fn serve_command() -> Command {
    Cli::command().find_subcommand("serve").cloned().unwrap_or_default()
}

/// What a file says, each as the flags that it stands for.
fn read(path: &Path, text: &str) -> Result<Vec<(Arg, Vec<String>)>, CliError> {
    let problem = |at: usize, what: &str| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        CliError::Usage(format!("{}:{line}: {what}", path.display()))
    };
    let table = DeTable::parse(text)
        .map_err(|error| problem(error.span().map_or(0, |span| span.start), error.message().trim_end()))?;
    let command = serve_command();
    let mut all = Vec::new();
    for (name, value) in table.get_ref() {
        let (at, name) = (name.span().start, name.get_ref());
        let known = |arg: &&Arg| {
            !arg.is_hide_set() && arg.get_long() == Some(name.as_ref()) && !NOT_IN_FILES.contains(&name.as_ref())
        };
        let arg = command.get_arguments().find(known).ok_or_else(|| {
            let names = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
            let names: Vec<_> = names.filter(|name| !NOT_IN_FILES.contains(name)).collect();
            problem(at, &format!("'{name}' is no setting; there are {}", names.join(", ")))
        })?;
        let flags = flags(arg, value.get_ref()).map_err(|what| problem(at, &format!("'{name}' {what}")))?;
        let alone = ["durawasm".to_owned(), "serve".to_owned()].into_iter().chain(flags.clone());
        if let Err(error) = Cli::command().try_get_matches_from(alone) {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            return Err(problem(at, first.strip_prefix("error: ").unwrap_or(first)));
        }
        all.push((arg.clone(), flags));
    }
    Ok(all)
}

/// A value as flags, or what it should have been.
fn flags(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let long = arg.get_long().unwrap_or_default();
    let flag = |text: &str| format!("--{long}={text}");
    let wrong = |wanted: &str| Err(format!("must be {wanted}, not {}", value.type_str()));
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{long}")]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => wrong("true or false"),
        (ArgAction::Append, DeValue::Array(values)) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(flag));
            texts.collect::<Option<_>>().map_or_else(|| wrong("an array of strings alone"), Ok)
        }
        (ArgAction::Append, _) => wrong("an array of strings"),
        (_, DeValue::String(text)) => Ok(vec![flag(text)]),
        (_, _) => wrong("a string"),
    }
}

/// What a server would use, as a configuration file. `from_file`: what the file has given.
pub(super) fn shown(serve: &ArgMatches, from_file: &[String]) -> String {
    let mut text = String::new();
    for arg in serve_command().get_arguments() {
        let Some(name) = arg.get_long().filter(|name| !arg.is_hide_set() && !NOT_IN_FILES.contains(name)) else {
            continue;
        };
        let id = arg.get_id().as_str();
        let raw: Vec<_> = serve.get_raw(id).into_iter().flatten().map(|raw| raw.to_string_lossy()).collect();
        let mut quoted = raw.iter().map(|raw| if SECRETS.contains(&name) { quote(HIDDEN) } else { quote(raw) });
        let value = match arg.get_action() {
            ArgAction::SetTrue => Some(serve.get_flag(id).to_string()),
            ArgAction::Append if !raw.is_empty() => Some(format!("[{}]", quoted.collect::<Vec<_>>().join(", "))),
            _ => quoted.next_back(),
        };
        let source = match serve.value_source(id) {
            Some(_) if from_file.iter().any(|from| from == name) => "file",
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) | None => "default",
        };
        text += &match value {
            Some(value) => format!("{name} = {value} # {source}\n"),
            None => format!("# {name} is not set\n"),
        };
    }
    text
}

/// A string of JSON is one of TOML.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(file: &str, flags: &[&str]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        std::fs::write(&path, file).unwrap();
        let args = [&["durawasm", "serve", "--config", path.to_str().unwrap()], flags].concat();
        let (args, names) = with_file(args.into_iter().map(OsString::from).collect())
            .map_err(|error| error.text().split_once("serve.toml").unwrap().1.to_owned())?;
        let matches = Cli::command().try_get_matches_from(args).unwrap();
        Ok(shown(matches.subcommand().unwrap().1, &names))
    }

    #[test]
    fn flags_are_worth_more_than_the_file_and_that_more_than_defaults() {
        let file = "listen = \"127.0.0.1:1\"\nstore = \"memory\"\ntrust-proxy = true\negress = [\"a.example\", \"*\"]\n\
                    retention = \"30d\"\notlp-header = [\"a=s3cret\"]\nadmin-key = \"s3cret \\\"of some\\\" length\"\n";
        let shown = merged(file, &["--listen", "127.0.0.1:2"]).unwrap();
        for line in [
            "listen = \"127.0.0.1:2\" # flag",
            "store = \"memory\" # file",
            "trust-proxy = true # file",
            "egress = [\"a.example\", \"*\"] # file",
            "retention = \"30d\" # file",
            "admin-key = \"***\" # file",
            "otlp-header = [\"***\"] # file",
            "otlp-service-name = \"durawasm\" # default",
            "route-prefix = \"api\" # default",
            "log-format = \"text\" # default",
            "# public-url is not set",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line} is not in:\n{shown}");
        }
        assert!(!shown.contains("s3cret"), "{shown}");
        let settled = shown.lines().filter(|line| !line.contains("***")).collect::<Vec<_>>().join("\n");
        assert!(merged(&settled, &[]).is_ok(), "what is shown can be read again:\n{shown}");
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (file, words) in [
            ("\nlisen = \"x\"", ":2: 'lisen' is no setting; there are listen, store,"),
            ("listen = \"127.0.0.1:1\"\n\nstore = 5", ":3: 'store' must be a string, not integer"),
            ("trust-proxy = \"yes\"", ":1: 'trust-proxy' must be true or false, not string"),
            ("egress = \"a.example\"", ":1: 'egress' must be an array of strings, not string"),
            ("egress = [\"a.example\", 1]", ":1: 'egress' must be an array of strings alone, not array"),
            ("\nstore = \"postgres:x\"", ":2: invalid value 'postgres:x' for '--store"),
            ("listen = ", ":1: "),
            ("store = \"memory\"\nstore = \"memory\"", ":2: duplicate key"),
            ("config = \"other.toml\"", ":1: 'config' is no setting"),
            ("bench-sync-delay-us = \"1\"", ":1: 'bench-sync-delay-us' is no setting"),
            ("[listen]\na = 1", ":1: 'listen' must be a string, not table"),
            ("log = \"[\"", ":1: invalid value '[' for '--log"),
        ] {
            let error = merged(file, &[]).unwrap_err();
            assert!(error.starts_with(words), "{file}: {error}");
        }
    }
}
