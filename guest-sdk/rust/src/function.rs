//! What the macros build on: the table of functions and the way into them.

#![allow(clippy::result_large_err, reason = "the generated signature of the exports")]

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::activity::ActivityContext;
use crate::bindings::durable::functions::types as wit;
use crate::bindings::exports::durable::functions::describe as wit_describe;
use crate::error::{Error, Failure, Result};
use crate::executor;
use crate::orchestration::{CONTINUED_AS_NEW, OrchestrationContext};
use crate::payload::{decode, encode};

/// JSON in, JSON out.
type Run = fn(Option<String>) -> Result<Option<String>>;

/// A function of the app.
#[derive(Clone, Copy)]
pub struct Definition {
    name: &'static str,
    kind: Kind,
    run: Run,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Orchestrator,
    Activity,
}

impl Definition {
    /// An orchestrator.
    pub const fn orchestrator(name: &'static str, run: Run) -> Self {
        Self { name, kind: Kind::Orchestrator, run }
    }

    /// An activity.
    pub const fn activity(name: &'static str, run: Run) -> Self {
        Self { name, kind: Kind::Activity, run }
    }
}

/// What the attribute macros implement for a type of the function's name.
pub trait Function {
    /// The function behind the type.
    const DEFINITION: Definition;
}

/// What a function can take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a durable function",
    label = "this type cannot be read from JSON",
    note = "it has to own its data and implement `serde::Deserialize`: `#[derive(serde::Deserialize)]`"
)]
pub trait FunctionInput: Sized {
    /// From the text of the input, if there is one.
    fn read(text: Option<String>) -> Result<Self>;
}

impl<T: DeserializeOwned> FunctionInput for T {
    fn read(text: Option<String>) -> Result<Self> {
        decode(text.as_deref(), || "the input".to_owned())
    }
}

/// The input of functions that take none, whatever they are given.
pub type Ignored = IgnoredAny;

/// What a function can return.
#[diagnostic::on_unimplemented(
    message = "a durable function cannot return `{Self}`",
    label = "this is not a `durawasm::Result` of something that can be written as JSON",
    note = "return `durawasm::Result<T>`, where `T` implements `serde::Serialize`: `#[derive(serde::Serialize)]`"
)]
pub trait FunctionOutput {
    /// The text of the output, if there is one.
    fn write(self) -> Result<Option<String>>;
}

impl<T: Serialize, E: Into<Error>> FunctionOutput for Result<T, E> {
    fn write(self) -> Result<Option<String>> {
        encode(&self.map_err(Into::into)?)
    }
}

/// Reads an input of a type; the place where the compiler complains about the type.
pub fn assert_input<I: FunctionInput>() -> fn(Option<String>) -> Result<I> {
    I::read
}

/// Writes an output of a type; the place where the compiler complains about the type.
pub fn assert_output<O: FunctionOutput>() -> fn(O) -> Result<Option<String>> {
    O::write
}

/// Runs an orchestrator from its start to its end.
pub fn orchestrate<I, O, F: Future<Output = O>>(
    input: Option<String>,
    read: fn(Option<String>) -> Result<I>,
    body: impl FnOnce(OrchestrationContext, I) -> F,
    write: fn(O) -> Result<Option<String>>,
) -> Result<Option<String>> {
    let input = read(input)?;
    match executor::run(body(OrchestrationContext::new(), input)) {
        Ok(output) => write(output),
        Err(executor::Stalled) => Err(Error::of_sdk(
            "NotADurableTask",
            "the orchestrator awaits something that is not a durable task, so nothing would ever wake it; \
             such work belongs in an activity"
                .to_owned(),
        )
        .non_retriable()),
    }
}

/// Runs an activity.
pub fn perform<I, O>(
    input: Option<String>,
    read: fn(Option<String>) -> Result<I>,
    body: impl FnOnce(ActivityContext, I) -> O,
    write: fn(O) -> Result<Option<String>>,
) -> Result<Option<String>> {
    write(body(ActivityContext::new(), read(input)?))
}

/// The export `orchestrator.run`.
pub fn run_orchestrator(
    functions: &[Definition],
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    run(functions, Kind::Orchestrator, name, input)
}

/// The export `activity.run`.
pub fn run_activity(
    functions: &[Definition],
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    run(functions, Kind::Activity, name, input)
}

fn run(
    functions: &[Definition],
    kind: Kind,
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    let Some(function) = functions.iter().find(|function| function.kind == kind && function.name == name) else {
        return Err(Failure {
            error_type: "FunctionNotFound".to_owned(),
            message: format!("the app holds no {} named {name:?}", kind.word()),
            non_retriable: true,
            ..Failure::default()
        }
        .into());
    };
    match (function.run)(input).map_err(Error::into_failure) {
        Err(failure) if kind == Kind::Orchestrator && failure.error_type == CONTINUED_AS_NEW => Ok(None),
        outcome => outcome.map_err(Into::into),
    }
}

/// The export `describe.describe`.
pub fn describe(functions: &[Definition], version: Option<&str>) -> wit_describe::App {
    wit_describe::App {
        sdk: concat!("durawasm-rust ", env!("CARGO_PKG_VERSION")).to_owned(),
        version: version.map(str::to_owned),
        functions: functions
            .iter()
            .map(|function| wit_describe::Function {
                name: function.name.to_owned(),
                kind: match function.kind {
                    Kind::Orchestrator => wit_describe::FunctionKind::Orchestrator,
                    Kind::Activity => wit_describe::FunctionKind::Activity,
                },
                config: None,
            })
            .collect(),
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Activity => "activity",
        }
    }
}

/// Stops the compiler if two functions of one kind have the same name.
pub const fn assert_unique(functions: &[Definition]) {
    let mut first = 0;
    while first < functions.len() {
        let mut second = first + 1;
        while second < functions.len() {
            let (a, b) = (functions[first], functions[second]);
            if a.kind as u8 == b.kind as u8 && same(a.name.as_bytes(), b.name.as_bytes()) {
                report(a.kind.word(), a.name);
            }
            second += 1;
        }
        first += 1;
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Constants cannot format, so the message is put together by hand.
const fn report(kind: &str, name: &str) -> ! {
    let mut text = [0; 256];
    let mut length = 0;
    let parts = ["two functions of this app are the ", kind, " \"", name, "\": names are unique for each kind"];
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut at = 0;
        while at < bytes.len() && length < text.len() {
            text[length] = bytes[at];
            length += 1;
            at += 1;
        }
        part += 1;
    }
    match std::str::from_utf8(text.split_at(length).0) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!("two functions of this app have the same kind and name"),
    }
}
