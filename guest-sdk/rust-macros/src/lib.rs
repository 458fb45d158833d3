//! The attribute macros of the `durawasm` crate, which re-exports and documents them.

mod function;

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
