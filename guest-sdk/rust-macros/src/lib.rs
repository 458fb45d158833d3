//! The attribute macros of the `durawasm` crate, which re-exports and documents them.

mod arguments;
mod function;
mod route;

use proc_macro::TokenStream;

/// Makes an async function an orchestrator.
///
/// The function takes an `OrchestrationContext` and, if it wants one, an input: any type that implements
/// `serde::Deserialize`. It returns `durawasm::Result<T>`, where `T` implements `serde::Serialize`. It can still be
/// called as the function it was.
///
/// `name = "…"` is the name it is started and called by; without it the name of the function.
///
/// ```ignore
/// #[durawasm::orchestrator(name = "Order")]
/// async fn order(ctx: OrchestrationContext, items: Vec<String>) -> Result<u32> {
///     ctx.call_activity("Pack", items).await
/// }
/// ```
///
/// The macro declares a type of the same name, through which `durawasm::app!` finds the function. So the function's
/// module must have no other type or module of that name.
#[proc_macro_attribute]
pub fn orchestrator(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Orchestrator, arguments.into(), item.into()).into()
}

/// Makes a function an activity: the place for all real work.
///
/// The function takes an `ActivityContext` and, if it wants one, an input: any type that implements
/// `serde::Deserialize`. It returns `durawasm::Result<T>`, where `T` implements `serde::Serialize`. It is not async:
/// each call has a component of its own, so it may block. It runs at least once for each call.
///
/// `name = "…"` is the name it is called by; without it the name of the function.
///
/// ```ignore
/// #[durawasm::activity(name = "Pack")]
/// fn pack(ctx: ActivityContext, items: Vec<String>) -> Result<usize> {
///     Ok(items.len())
/// }
/// ```
///
/// The macro declares a type of the same name, through which `durawasm::app!` finds the function. So the function's
/// module must have no other type or module of that name.
#[proc_macro_attribute]
pub fn activity(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Activity, arguments.into(), item.into()).into()
}

/// Makes a function an HTTP function: it answers requests, and can start and manage orchestrations.
///
/// The function takes a `FunctionContext` and, if it wants it, the `HttpRequest`. It returns
/// `durawasm::Result<HttpResponse>`. It is not async: each call has a component of its own, so it may block. An error
/// is answered with 500 and tells the client nothing, but for `Error::bad_request`, which is answered with 400.
///
/// * `route = "…"` is the path below the hub's prefix: `orders/{id}/{page?}`, `files/{*rest}`. Without it it is the
///   function's name.
/// * `methods = ["GET"]`: without it all are taken.
/// * `auth = "anonymous" | "function" | "admin"` is the key that a request needs: none, one of the hub or the server's.
///   Without it it is `function`.
/// * `name = "…"`: without it the name of the function.
///
/// ```ignore
/// #[durawasm::http(route = "orchestrators/{functionName}", methods = ["POST"], auth = "function")]
/// fn start(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
///     let id = ctx.client().start_new(request.require_param("functionName")?).send()?;
///     Ok(ctx.client().create_check_status_response(&request, &id))
/// }
/// ```
///
/// The macro declares a type of the same name, through which `durawasm::app!` finds the function. So the function's
/// module must have no other type or module of that name.
#[proc_macro_attribute]
pub fn http(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Http, arguments.into(), item.into()).into()
}

/// Declares an HTTP function that reads its request and writes its response piece by piece: the component's export
/// `wasi:http/incoming-handler` answers for it, which is written with another crate, `wstd` say. Takes a struct without fields,
/// and the arguments of [`macro@http`].
///
/// An app that exports the handler and declares nothing of the kind has it called for whatever path no other function answers.
/// One that declares several tells them apart by `FunctionContext::current().name()`.
///
/// ```ignore
/// #[durawasm::incoming(route = "upload/{name}", methods = ["PUT"])]
/// struct Upload;
///
/// #[wstd::http_server]
/// async fn main(request: Request<Body>) -> wstd::http::error::Result<Response<Body>> {
///     Ok(Response::new(request.into_body()))
/// }
///
/// durawasm::app!(Upload);
/// ```
#[proc_macro_attribute]
pub fn incoming(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand_incoming(arguments.into(), item.into()).into()
}

/// Makes a function a manual one: it is run by hand (`POST /admin/functions/{name}`), and can start and manage
/// orchestrations.
///
/// The function takes a `FunctionContext` and, if it wants one, an input: any type that implements `serde::Deserialize`.
/// It returns `durawasm::Result<T>`, where `T` implements `serde::Serialize`; mostly `Result<()>`. It is not async.
///
/// `name = "…"` is the name it is run by; without it the name of the function.
///
/// ```ignore
/// #[durawasm::manual(name = "TerminateInstance")]
/// fn terminate(ctx: FunctionContext, instance_id: String) -> Result<()> {
///     Ok(ctx.client().terminate(&instance_id, "It was time to be done.")?)
/// }
/// ```
///
/// The macro declares a type of the same name, through which `durawasm::app!` finds the function. So the function's
/// module must have no other type or module of that name.
#[proc_macro_attribute]
pub fn manual(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Manual, arguments.into(), item.into()).into()
}

/// Makes a function a timer function: it is run by a schedule, and can start and manage orchestrations.
///
/// The function takes a `FunctionContext` and, if it wants it, the `TimerInfo`. It returns `durawasm::Result<()>`. It
/// is not async.
///
/// It runs at least once for each time that it is due; two runs of one function never overlap. What was due while the
/// server was down runs once when it is up again.
///
/// * `schedule = "…"` has six fields: second, minute, hour, day, month, day of the week (0 is Sunday), in UTC. A field is
///   a list of `*`, values, names and ranges `1-5`, with a step `/5` if wanted. A day must fit both fields of days.
/// * `use_monitor = false`: what was due while the server was down is left out.
/// * `run_on_startup = true`: it runs when the server starts and when the app is deployed, too.
/// * `name = "…"`: without it the name of the function.
///
/// ```ignore
/// #[durawasm::timer(schedule = "0 30 2 * * *")]
/// fn nightly(ctx: FunctionContext) -> Result<()> {
///     ctx.client().start_new("Backup").send()?;
///     Ok(())
/// }
/// ```
///
/// The macro declares a type of the same name, through which `durawasm::app!` finds the function. So the function's
/// module must have no other type or module of that name.
#[proc_macro_attribute]
pub fn timer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Timer, arguments.into(), item.into()).into()
}
