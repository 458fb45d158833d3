//! Admission: everything that is checked before a component is kept.

use std::collections::HashSet;

use durawasm_core::model::BUILT_IN;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::bindings::exports::durable::functions::describe::{App, FunctionKind as Kind};
use super::compile::CompileError;
use super::functions::{trigger, undeclared};
use super::inspect::{Surface, inspect};
use super::library::{Library, Loaded};
use super::limits::{FUNCTION_NAME_CHARS, LABEL_CHARS, Limits};
use super::outcome::Ended;
use super::run::Stage;
use crate::engine::clash;
use crate::engine::executor::{AdmitError, HostFault};
use crate::store::{AppVersion, Digest, FunctionKind, Trigger, TriggerKind};

/// Checks a component and keeps it; see `Executor::admit`.
pub(super) async fn admit(library: &Library, stage: &Stage, component: bytes::Bytes) -> Result<AppVersion, AdmitError> {
    let (size, limit) = (component.len(), stage.limits.component_size);
    if size > limit {
        return Err(AdmitError::TooLarge { size, limit });
    }
    let surface = inspect(&component).map_err(AdmitError::Refused)?;
    let digest = Digest(Sha256::digest(&component).into());
    let version = |(app, functions, triggers): Described| AppVersion {
        digest,
        label: app.version.filter(|label| !label.is_empty()),
        sdk: app.sdk,
        deployed: Timestamp::now(),
        size: size as u64,
        functions,
        imports: surface.imports.clone(),
        triggers,
    };
    if library.has(digest) {
        return known(library, stage, digest, &surface).await.map(version);
    }
    let turn = library.turn_to_compile().await;
    if library.has(digest) {
        drop(turn);
        return known(library, stage, digest, &surface).await.map(version);
    }
    let candidate = library.prepare(component).await.map_err(|error| match error {
        CompileError::Invalid(text) => AdmitError::Refused(invalid(&text)),
        CompileError::Host(text) => AdmitError::Host(text),
    })?;
    let described = describe(stage, &candidate.loaded, &surface).await?;
    library.admit(digest, candidate).await.map_err(AdmitError::Host)?;
    drop(turn);
    Ok(version(described))
}

/// What wasmtime says of a function that a component imports and nobody offers.
const LACKING: &str = "function implementation is missing";

fn invalid(text: &str) -> String {
    let advice = match text.contains(LACKING) {
        true => {
            ". This server does not have that function: if the component was made with a newer SDK, update the server, or \
             make it with the SDK of the server's version"
        }
        false => "",
    };
    format!("the component is not valid: {text}{advice}")
}

type Described = (App, Vec<(FunctionKind, String)>, Vec<Trigger>);

/// A component that was admitted before only has to say again what it holds.
async fn known(library: &Library, stage: &Stage, digest: Digest, surface: &Surface) -> Result<Described, AdmitError> {
    let loaded = library.get(digest).await.map_err(|fault| AdmitError::Host(fault.to_string()))?;
    describe(stage, &loaded, surface).await
}

async fn describe(stage: &Stage, loaded: &Loaded, surface: &Surface) -> Result<Described, AdmitError> {
    for (interface, present) in [
        ("orchestrator", loaded.orchestrator.is_some()),
        ("activity", loaded.activity.is_some()),
        ("http-function", loaded.http.is_some()),
        ("trigger", loaded.trigger.is_some()),
    ] {
        if surface.exports(interface) && !present {
            let function = if interface == "http-function" { "handle" } else { "run" };
            return Err(AdmitError::Refused(format!(
                "its export durable:functions/{interface} has no function '{function}'"
            )));
        }
    }
    if surface.exports_incoming() && loaded.incoming.is_none() {
        let text = "its export wasi:http/incoming-handler has no function 'handle'";
        return Err(AdmitError::Refused(text.to_owned()));
    }
    let app = match stage.describe(loaded).await {
        Ok(Ok(app)) => app,
        Ok(Err(message)) => return Err(AdmitError::Refused(format!("its describe function failed: {message}"))),
        Err(Ended::Failed(failure)) => {
            let message = failure.message;
            return Err(AdmitError::Refused(format!("its describe function did not return: {message}")));
        }
        Err(Ended::Host(HostFault::Full(_))) => return Err(AdmitError::Full),
        Err(Ended::Host(fault)) => return Err(AdmitError::Host(fault.to_string())),
        Err(Ended::Faulted) => return Err(AdmitError::Host("describe has no session, but one refused it".to_owned())),
    };
    let (functions, triggers) = functions(&app, surface, &stage.limits).map_err(AdmitError::Refused)?;
    Ok((app, functions, triggers))
}

/// What the app holds: what is called by name, and what something sets off.
type Functions = (Vec<(FunctionKind, String)>, Vec<Trigger>);

fn functions(app: &App, surface: &Surface, limits: &Limits) -> Result<Functions, String> {
    check_label("SDK name", &app.sdk)?;
    check_label("version label", app.version.as_deref().unwrap_or_default())?;
    if app.functions.is_empty() && !surface.exports_incoming() {
        return Err("it declares no functions: register at least one".to_owned());
    }
    if app.functions.len() > limits.functions {
        return Err(format!("it declares {} functions; the limit is {}", app.functions.len(), limits.functions));
    }
    let mut seen = HashSet::new();
    let streams_by_default = surface.exports_incoming() && !surface.exports("http-function");
    let (mut functions, mut triggers) = (Vec::with_capacity(app.functions.len()), Vec::<Trigger>::new());
    for function in &app.functions {
        let name = &function.name;
        check_name(name)?;
        let trigger = trigger(function, streams_by_default)?;
        let (kind, word, interface) = match function.kind {
            Kind::Orchestrator => (Some(FunctionKind::Orchestrator), "orchestrator", Some("orchestrator")),
            Kind::Activity => (Some(FunctionKind::Activity), "activity", Some("activity")),
            Kind::Http if trigger.as_ref().is_some_and(streams) => (None, "HTTP function", None),
            Kind::Http => (None, "HTTP function", Some("http-function")),
            Kind::Manual => (None, "manual function", Some("trigger")),
            Kind::Timer => (None, "timer function", Some("trigger")),
        };
        let missing = match interface {
            Some(interface) if !surface.exports(interface) => Some(format!("durable:functions/{interface}")),
            None if !surface.exports_incoming() => Some("wasi:http/incoming-handler".to_owned()),
            Some(_) | None => None,
        };
        if let Some(missing) = missing {
            return Err(format!("it declares the {word} '{name}' but does not export {missing}"));
        }
        if !seen.insert((word, name)) {
            return Err(format!("it declares the {word} '{name}' twice; names must be unique"));
        }
        functions.extend(kind.map(|kind| (kind, name.clone())));
        if let Some(trigger) = trigger {
            add(&mut triggers, trigger)?;
        }
    }
    if surface.exports_incoming() && !triggers.iter().any(streams) {
        add(&mut triggers, undeclared())?;
    }
    Ok((functions, triggers))
}

fn add(triggers: &mut Vec<Trigger>, trigger: Trigger) -> Result<(), String> {
    let name = &trigger.name;
    if let Some((other, what)) = triggers.iter().find_map(|other| Some((other, clash(other, &trigger)?))) {
        if other.name == *name {
            return Err(format!("it declares the {what} '{name}' twice; names must be unique"));
        }
        return Err(format!("{what} '{name}' is also that of '{}'; requests could go to either", other.name));
    }
    triggers.push(trigger);
    Ok(())
}

fn streams(trigger: &Trigger) -> bool {
    matches!(&trigger.kind, TriggerKind::Http(http) if http.streams)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it declares a function without a name".to_owned());
    }
    if name.chars().nth(FUNCTION_NAME_CHARS).is_some() {
        let begin: String = name.chars().take(32).collect();
        return Err(format!("the function name '{begin}…' is longer than {FUNCTION_NAME_CHARS} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the function name {name:?} has control characters"));
    }
    if name.starts_with(BUILT_IN) {
        return Err(format!("it declares '{name}'; names that begin with {BUILT_IN} are the host's own"));
    }
    Ok(())
}

fn check_label(what: &str, label: &str) -> Result<(), String> {
    if label.chars().nth(LABEL_CHARS).is_some() || label.chars().any(char::is_control) {
        return Err(format!("its {what} is longer than {LABEL_CHARS} characters or has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(check_name("Hello, Wörld"), Ok(()));
        for (name, why) in [
            ("", "without a name"),
            ("a\nb", "control characters"),
            (&"x".repeat(129), "longer than 128"),
            ("BuiltIn::HttpActivity", "the host's own"),
        ] {
            assert!(check_name(name).is_err_and(|text| text.contains(why)), "{name}");
        }
    }
}
