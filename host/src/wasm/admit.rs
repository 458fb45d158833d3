//! Admission: everything that is checked before a component is kept.

use std::collections::HashSet;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::bindings::exports::durable::functions::describe::{App, FunctionKind as Kind};
use super::compile::CompileError;
use super::inspect::{Surface, inspect};
use super::library::{Library, Loaded};
use super::limits::{FUNCTION_NAME_CHARS, LABEL_CHARS, Limits};
use super::outcome::Ended;
use super::run::Stage;
use crate::engine::executor::AdmitError;
use crate::store::{AppVersion, Digest, FunctionKind};

/// Checks a component and keeps it; see `Executor::admit`.
pub(super) async fn admit(library: &Library, stage: &Stage, component: bytes::Bytes) -> Result<AppVersion, AdmitError> {
    let (size, limit) = (component.len(), stage.limits.component_size);
    if size > limit {
        return Err(AdmitError::TooLarge { size, limit });
    }
    let surface = inspect(&component).map_err(AdmitError::Refused)?;
    let digest = Digest(Sha256::digest(&component).into());
    let version = |app: &App, functions| AppVersion {
        digest,
        label: app.version.clone().filter(|label| !label.is_empty()),
        sdk: app.sdk.clone(),
        deployed: Timestamp::now(),
        size: size as u64,
        functions,
        imports: surface.imports.clone(),
    };
    if library.has(digest) {
        return known(library, stage, digest, &surface).await.map(|(app, functions)| version(&app, functions));
    }
    let turn = library.turn_to_compile().await;
    if library.has(digest) {
        drop(turn);
        return known(library, stage, digest, &surface).await.map(|(app, functions)| version(&app, functions));
    }
    let candidate = library.prepare(component).await.map_err(|error| match error {
        CompileError::Invalid(text) => AdmitError::Refused(format!("the component is not valid: {text}")),
        CompileError::Host(text) => AdmitError::Host(text),
    })?;
    let (app, functions) = describe(stage, &candidate.loaded, &surface).await?;
    library.admit(digest, candidate).await.map_err(AdmitError::Host)?;
    drop(turn);
    Ok(version(&app, functions))
}

type Described = (App, Vec<(FunctionKind, String)>);

/// A component that was admitted before only has to say again what it holds.
async fn known(library: &Library, stage: &Stage, digest: Digest, surface: &Surface) -> Result<Described, AdmitError> {
    let loaded = library.get(digest).await.map_err(|fault| AdmitError::Host(fault.0))?;
    describe(stage, &loaded, surface).await
}

async fn describe(stage: &Stage, loaded: &Loaded, surface: &Surface) -> Result<Described, AdmitError> {
    for (interface, present) in
        [("orchestrator", loaded.orchestrator.is_some()), ("activity", loaded.activity.is_some())]
    {
        if surface.exports(interface) && !present {
            return Err(AdmitError::Refused(format!("its export durable:functions/{interface} has no function 'run'")));
        }
    }
    let app = match stage.describe(loaded).await {
        Ok(Ok(app)) => app,
        Ok(Err(message)) => return Err(AdmitError::Refused(format!("its describe function failed: {message}"))),
        Err(Ended::Failed(failure)) => {
            let message = failure.message;
            return Err(AdmitError::Refused(format!("its describe function did not return: {message}")));
        }
        Err(Ended::Host(fault)) => return Err(AdmitError::Host(fault.0)),
        Err(Ended::Faulted) => return Err(AdmitError::Host("describe has no session, but one refused it".to_owned())),
    };
    let functions = functions(&app, surface, &stage.limits).map_err(AdmitError::Refused)?;
    Ok((app, functions))
}

fn functions(app: &App, surface: &Surface, limits: &Limits) -> Result<Vec<(FunctionKind, String)>, String> {
    check_label("SDK name", &app.sdk)?;
    check_label("version label", app.version.as_deref().unwrap_or_default())?;
    if app.functions.is_empty() {
        return Err("it declares no functions: register at least one orchestrator or activity".to_owned());
    }
    if app.functions.len() > limits.functions {
        return Err(format!("it declares {} functions; the limit is {}", app.functions.len(), limits.functions));
    }
    let mut seen = HashSet::new();
    let mut functions = Vec::with_capacity(app.functions.len());
    for function in &app.functions {
        let name = &function.name;
        check_name(name)?;
        let (kind, word) = match function.kind {
            Kind::Orchestrator => (FunctionKind::Orchestrator, "orchestrator"),
            Kind::Activity => (FunctionKind::Activity, "activity"),
            Kind::Http => return Err(unsupported(name, "HTTP")),
            Kind::Manual => return Err(unsupported(name, "manual")),
            Kind::Timer => return Err(unsupported(name, "timer")),
        };
        if !surface.exports(word) {
            return Err(format!("it declares the {word} '{name}' but does not export durable:functions/{word}"));
        }
        if !seen.insert((kind, name)) {
            return Err(format!("it declares the {word} '{name}' twice; names must be unique"));
        }
        functions.push((kind, name.clone()));
    }
    Ok(functions)
}

fn unsupported(name: &str, kind: &str) -> String {
    format!("function '{name}' is of kind {kind}, and {kind} functions are not supported by this version of the host")
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
    Ok(())
}

fn check_label(what: &str, label: &str) -> Result<(), String> {
    if label.chars().nth(LABEL_CHARS).is_some() || label.chars().any(char::is_control) {
        return Err(format!("its {what} is longer than {LABEL_CHARS} characters or has control characters"));
    }
    Ok(())
}
