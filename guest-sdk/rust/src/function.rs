//! What the macros build on: the table of functions and the way into them.

#![allow(clippy::result_large_err, reason = "the generated signature of the exports")]

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::activity::ActivityContext;
use crate::bindings::durable::functions::types as wit;
use crate::bindings::exports::durable::functions::{describe as wit_describe, http_function as wit_http};
use crate::error::{BAD_REQUEST, Error, Failure, Result};
use crate::executor;
use crate::function_context::FunctionContext;
use crate::http::{HttpRequest, HttpResponse};
use crate::orchestration::{CONTINUED_AS_NEW, OrchestrationContext};
use crate::payload::{decode, encode};

/// JSON in, JSON out.
type Run = fn(Option<String>) -> Result<Option<String>>;

/// A request in, a response out.
type Handle = fn(HttpRequest) -> Result<HttpResponse>;

/// A function of the app.
#[derive(Clone, Copy)]
pub struct Definition {
    name: &'static str,
    body: Body,
}

/// What kind of function it is and how it is run.
#[derive(Clone, Copy)]
enum Body {
    Orchestrator(Run),
    Activity(Run),
    Http(HttpOptions, Handle),
    /// Answered by the component's `wasi:http/incoming-handler`.
    Incoming(HttpOptions),
    Manual(Run),
    Timer(TimerOptions, Run),
}

/// What an HTTP function declares about itself; what is not given is the host's to choose.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpOptions {
    /// The route below the hub's prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    /// The methods it takes, in capitals; empty: all.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub methods: &'static [&'static str],
    /// Which key a request needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_level: Option<&'static str>,
    /// Which export answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<&'static str>,
}

/// What a timer function declares about itself; what is not given is the host's to choose.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerOptions {
    /// Six fields, from the second on.
    pub schedule: &'static str,
    /// Whether what was due while the server was down runs afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_monitor: Option<bool>,
    /// Whether it runs when the server starts and when the app is deployed, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_on_startup: Option<bool>,
}

impl Definition {
    /// An orchestrator.
    pub const fn orchestrator(name: &'static str, run: Run) -> Self {
        Self { name, body: Body::Orchestrator(run) }
    }

    /// An activity.
    pub const fn activity(name: &'static str, run: Run) -> Self {
        Self { name, body: Body::Activity(run) }
    }

    /// An HTTP function.
    pub const fn http(name: &'static str, options: HttpOptions, handle: Handle) -> Self {
        Self { name, body: Body::Http(options, handle) }
    }

    /// An HTTP function that the component's `wasi:http/incoming-handler` answers for.
    pub const fn incoming(name: &'static str, options: HttpOptions) -> Self {
        Self { name, body: Body::Incoming(options) }
    }

    /// A manual function.
    pub const fn manual(name: &'static str, run: Run) -> Self {
        Self { name, body: Body::Manual(run) }
    }

    /// A timer function.
    pub const fn timer(name: &'static str, options: TimerOptions, run: Run) -> Self {
        Self { name, body: Body::Timer(options, run) }
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

/// What an HTTP function can return.
#[diagnostic::on_unimplemented(
    message = "an HTTP function cannot return `{Self}`",
    label = "this is not a `durawasm::Result` of a response",
    note = "return `durawasm::Result<HttpResponse>`: `HttpResponse::new(200).text(\"…\")`, `.json(&value)?`"
)]
pub trait HttpOutput {
    /// The response, or why there is none.
    fn write(self) -> Result<HttpResponse>;
}

/// What an HTTP function can answer with. Not `Into<HttpResponse>` itself, for the sake of a clear message.
#[diagnostic::on_unimplemented(
    message = "an HTTP function cannot answer with `{Self}`",
    label = "this result holds no response",
    note = "return `Result<HttpResponse>`, and a value as JSON with `HttpResponse::new(200).json(&value)`"
)]
pub trait Answer: Into<HttpResponse> {}

impl Answer for HttpResponse {}
impl Answer for String {}
impl Answer for &str {}
impl Answer for () {}

impl<T: Answer, E: Into<Error>> HttpOutput for Result<T, E> {
    fn write(self) -> Result<HttpResponse> {
        self.map(Into::into).map_err(Into::into)
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

/// Makes a response of a type; the place where the compiler complains about the type.
pub fn assert_response<O: HttpOutput>() -> fn(O) -> Result<HttpResponse> {
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

/// Runs a manual or timer function.
pub fn trigger<I, O>(
    input: Option<String>,
    read: fn(Option<String>) -> Result<I>,
    body: impl FnOnce(FunctionContext, I) -> O,
    write: fn(O) -> Result<Option<String>>,
) -> Result<Option<String>> {
    write(body(FunctionContext::new(), read(input)?))
}

/// Runs an HTTP function.
pub fn respond<O>(
    request: HttpRequest,
    body: impl FnOnce(FunctionContext, HttpRequest) -> O,
    write: fn(O) -> Result<HttpResponse>,
) -> Result<HttpResponse> {
    write(body(FunctionContext::new(), request))
}

/// The export `orchestrator.run`.
pub fn run_orchestrator(
    functions: &[Definition],
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    let run = find(functions, name, "orchestrator", |body| match body {
        Body::Orchestrator(run) => Some(run),
        Body::Activity(_) | Body::Http(..) | Body::Incoming(_) | Body::Manual(_) | Body::Timer(..) => None,
    })?;
    match run(input).map_err(Error::into_failure) {
        Err(failure) if failure.error_type == CONTINUED_AS_NEW => Ok(None),
        outcome => outcome.map_err(Into::into),
    }
}

/// The export `activity.run`.
pub fn run_activity(
    functions: &[Definition],
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    let run = find(functions, name, "activity", |body| match body {
        Body::Activity(run) => Some(run),
        Body::Orchestrator(_) | Body::Http(..) | Body::Incoming(_) | Body::Manual(_) | Body::Timer(..) => None,
    })?;
    run(input).map_err(|error| error.into_failure().into())
}

/// The export `trigger.run`.
pub fn run_trigger(
    functions: &[Definition],
    name: &str,
    input: Option<String>,
) -> Result<Option<String>, wit::Failure> {
    let run = find(functions, name, "manual or timer function", |body| match body {
        Body::Manual(run) | Body::Timer(_, run) => Some(run),
        Body::Orchestrator(_) | Body::Activity(_) | Body::Http(..) | Body::Incoming(_) => None,
    })?;
    run(input).map_err(|error| error.into_failure().into())
}

/// The export `http-function.handle`.
pub fn run_http(
    functions: &[Definition],
    name: &str,
    request: wit_http::Request,
) -> Result<wit_http::Response, wit::Failure> {
    let handle = find(functions, name, "HTTP function", |body| match body {
        Body::Http(_, handle) => Some(handle),
        Body::Orchestrator(_) | Body::Activity(_) | Body::Incoming(_) | Body::Manual(_) | Body::Timer(..) => None,
    })?;
    match handle(request.into()).map_err(Error::into_failure) {
        Ok(response) => Ok(response.into()),
        Err(failure) if failure.error_type == BAD_REQUEST => Ok(HttpResponse::new(400).text(failure.message).into()),
        Err(failure) => Err(failure.into()),
    }
}

/// The function of a name, of the kind that `pick` knows; `what` names that kind.
fn find<T>(
    functions: &[Definition],
    name: &str,
    what: &str,
    pick: impl Fn(Body) -> Option<T>,
) -> Result<T, wit::Failure> {
    let mut named = functions.iter().filter(|function| function.name == name);
    named.find_map(|function| pick(function.body)).ok_or_else(|| {
        let message = format!("the app holds no {what} named {name:?}");
        Failure { error_type: "FunctionNotFound".to_owned(), message, non_retriable: true, ..Failure::default() }.into()
    })
}

/// The export `describe.describe`.
pub fn describe(functions: &[Definition], version: Option<&str>) -> Result<wit_describe::App, String> {
    let functions = functions.iter().map(|function| {
        let config = function.body.config().map_err(|error| format!("{}: {}", function.name, error.message))?;
        Ok(wit_describe::Function { name: function.name.to_owned(), kind: function.body.kind(), config })
    });
    Ok(wit_describe::App {
        sdk: concat!("durawasm-rust ", env!("CARGO_PKG_VERSION")).to_owned(),
        version: version.map(str::to_owned),
        functions: functions.collect::<Result<_, String>>()?,
    })
}

impl Body {
    fn kind(self) -> wit_describe::FunctionKind {
        match self {
            Self::Orchestrator(_) => wit_describe::FunctionKind::Orchestrator,
            Self::Activity(_) => wit_describe::FunctionKind::Activity,
            Self::Http(..) | Self::Incoming(_) => wit_describe::FunctionKind::Http,
            Self::Manual(_) => wit_describe::FunctionKind::Manual,
            Self::Timer(..) => wit_describe::FunctionKind::Timer,
        }
    }

    /// What the host has to know more.
    fn config(self) -> Result<Option<String>> {
        match self {
            Self::Orchestrator(_) | Self::Activity(_) | Self::Manual(_) => Ok(None),
            Self::Http(options, _) | Self::Incoming(options) => encode(&options),
            Self::Timer(options, _) => encode(&options),
        }
    }

    /// Names are unique among the functions that share this: those that the host calls by one export.
    const fn names(self) -> &'static str {
        match self {
            Self::Orchestrator(_) => "orchestrator",
            Self::Activity(_) => "activity",
            Self::Http(..) | Self::Incoming(_) => "HTTP function",
            Self::Manual(_) | Self::Timer(..) => "manual or timer function",
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
            let (kind, other) = (a.body.names(), b.body.names());
            if same(kind.as_bytes(), other.as_bytes()) && same(a.name.as_bytes(), b.name.as_bytes()) {
                report(kind, a.name);
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

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: HttpOptions = HttpOptions {
        route: Some("orders/{id}"),
        methods: &["GET", "POST"],
        auth_level: Some("anonymous"),
        handler: None,
    };
    const EVERY_5_MINUTES: TimerOptions =
        TimerOptions { schedule: "0 */5 * * * *", use_monitor: None, run_on_startup: Some(true) };
    const FUNCTIONS: &[Definition] = &[
        Definition::orchestrator("Same", |_| Ok(Some("1".to_owned()))),
        Definition::activity("Same", |_| Ok(Some("2".to_owned()))),
        Definition::http("Same", OPTIONS, |request| Ok(HttpResponse::new(200).text(request.url()))),
        Definition::manual("Same", Ok),
        Definition::timer("Tick", EVERY_5_MINUTES, |_| Err(Error::msg("late"))),
        Definition::http(
            "Plain",
            HttpOptions { route: None, methods: &[], auth_level: None, handler: None },
            |request| Ok(HttpResponse::new(200).text(request.text()?)),
        ),
    ];

    fn request(body: &[u8]) -> wit_http::Request {
        wit_http::Request {
            method: "POST".to_owned(),
            url: "http://host/".to_owned(),
            headers: vec![],
            query: vec![],
            params: vec![],
            body: body.to_vec(),
        }
    }

    #[test]
    fn functions_of_all_kinds_are_described() {
        let app = describe(FUNCTIONS, Some("1.0.0")).expect("all of it can be written");
        let configs: Vec<_> = app.functions.iter().map(|function| function.config.as_deref()).collect();
        assert_eq!(
            configs,
            [
                None,
                None,
                Some(r#"{"route":"orders/{id}","methods":["GET","POST"],"authLevel":"anonymous"}"#),
                None,
                Some(r#"{"schedule":"0 */5 * * * *","runOnStartup":true}"#),
                Some("{}"),
            ]
        );
        assert_eq!(app.functions[4].kind, wit_describe::FunctionKind::Timer);
    }

    #[test]
    fn each_export_finds_the_functions_of_its_kinds() {
        assert_eq!(run_orchestrator(FUNCTIONS, "Same", None).ok().flatten().as_deref(), Some("1"));
        assert_eq!(run_activity(FUNCTIONS, "Same", None).ok().flatten().as_deref(), Some("2"));
        assert_eq!(run_trigger(FUNCTIONS, "Same", Some("3".to_owned())).ok().flatten().as_deref(), Some("3"));
        assert_eq!(run_trigger(FUNCTIONS, "Tick", None).map_err(|failure| failure.message), Err("late".to_owned()));
        assert_eq!(
            run_http(FUNCTIONS, "Same", request(b"")).map(|answer| answer.body).ok().as_deref(),
            Some(&b"http://host/"[..])
        );
        let missing = run_http(FUNCTIONS, "Tick", request(b"")).map(|answer| answer.status);
        assert_eq!(
            missing.map_err(|failure| failure.message),
            Err("the app holds no HTTP function named \"Tick\"".to_owned())
        );
    }

    #[test]
    fn a_bad_request_is_answered_not_failed() {
        let answer = run_http(FUNCTIONS, "Plain", request(&[0xff])).expect("an answer");
        assert_eq!(answer.status, 400);
        assert!(String::from_utf8_lossy(&answer.body).starts_with("the body is not UTF-8"));
    }
}
