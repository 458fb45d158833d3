//! Durable Functions in Rust: orchestrators, activities and the functions that start them, compiled to one WebAssembly
//! component that the durawasm host runs, persists and replays.
//!
//! ```
//! use durawasm::prelude::*;
//!
//! #[durawasm::orchestrator(name = "HelloSequence")]
//! async fn hello_sequence(ctx: OrchestrationContext) -> Result<Vec<String>> {
//!     let mut greetings = vec![];
//!     for city in ["Tokyo", "Seattle", "London"] {
//!         greetings.push(ctx.call_activity::<String>("SayHello", city).await?);
//!     }
//!     Ok(greetings)
//! }
//!
//! #[durawasm::activity(name = "SayHello")]
//! fn say_hello(_ctx: ActivityContext, city: String) -> Result<String> {
//!     Ok(format!("Hello {city}!"))
//! }
//!
//! durawasm::app!(hello_sequence, say_hello);
//! # fn main() {}
//! ```
//!
//! An app is a crate with `crate-type = ["cdylib"]`, built with `cargo build --release --target wasm32-wasip2`.
//!
//! # What an orchestrator may do
//!
//! An orchestrator is replayed: the host may drop it at any `await` and later run it again from its start, with the
//! results it has got so far. So it has to ask for the same things in the same order every time. Clocks, random
//! numbers, hash maps and sleeping of the standard library are safe, for the host gives them their recorded values.
//! Files, sockets and other services are for activities; HTTP requests can be left to the host, see
//! [`OrchestrationContext::call_http`].
//!
//! An orchestrator may `await` only what the [`OrchestrationContext`] gave it, alone or combined; combinators of
//! other crates (`futures`, say) work too. [`OrchestrationContext::join_all`] is the one to use for thousands of tasks.
//!
//! # Functions that start and manage orchestrations
//!
//! [`http`](macro@http), [`manual`](macro@manual) and [`timer`](macro@timer) functions use the [`DurableClient`] of their
//! [`FunctionContext`], and so can activities. They may block, and nothing of theirs is replayed.
//!
//! ```
//! use durawasm::prelude::*;
//!
//! #[durawasm::http(route = "orchestrators/{functionName}/{instanceId}", methods = ["POST"])]
//! fn start_single(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
//!     let id = request.require_param("instanceId")?;
//!     let function = request.require_param("functionName")?;
//!     match ctx.client().start_new(function).instance_id(id).input_json(request.text()?).send() {
//!         Ok(id) => Ok(ctx.client().create_check_status_response(&request, &id)),
//!         Err(error) => Ok(error.into()),
//!     }
//! }
//!
//! durawasm::app!(start_single);
//! # fn main() {}
//! ```
#![warn(missing_docs)]

mod activity;
mod call;
mod client;
mod combine;
mod error;
mod executor;
mod function;
mod function_context;
mod host;
mod http;
mod join_all;
mod log;
mod orchestration;
mod payload;
mod retry;
mod task;
mod time;

#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unreachable_pub, reason = "generated from the WIT files")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "app",
        pub_export_macro: true,
        default_bindings_module: "durawasm::bindings",
    });
}

/// The imports of the contract as they are, for what this crate does not cover.
///
/// Mixing them with this crate's futures is safe as long as a task is awaited in one of the two ways only.
pub mod raw {
    pub use crate::bindings::durable::functions::{activity_context, client, function_context, orchestration, types};
}

pub use activity::ActivityContext;
pub use bindings::durable::functions::activity_context::ActivityInfo;
pub use bindings::durable::functions::client::{Reuse, RuntimeStatus};
pub use bindings::durable::functions::function_context::FunctionInfo;
pub use bindings::durable::functions::orchestration::InstanceInfo;
pub use bindings::durable::functions::types::LogLevel;
pub use call::{ActivityCall, SubOrchestrationCall};
pub use client::{
    ClientError, DurableClient, GetStatus, InstanceFilter, InstanceStatus, Instances, ListInstances, ManagementPayload,
    StartNew,
};
pub use combine::{Either, Join};
pub use durawasm_macros::{activity, http, incoming, manual, orchestrator, timer};
pub use error::{Cause, Context, Error, Failure, Result};
pub use function_context::{FunctionContext, ScheduleStatus, TimerInfo};
pub use http::{HttpAnswer, HttpCall, HttpRequest, HttpResponse};
pub use join_all::{JoinAll, TryJoinAll};
pub use log::Log;
pub use orchestration::OrchestrationContext;
pub use retry::RetryPolicy;
pub use task::{TaskFuture, Timeout};
pub use time::{ParseTimestampError, Timestamp};

/// What nearly every app needs: `use durawasm::prelude::*;`.
pub mod prelude {
    pub use crate::{
        ActivityContext, ClientError, Context, DurableClient, Either, Error, Failure, FunctionContext, HttpAnswer,
        HttpCall, HttpRequest, HttpResponse, InstanceFilter, InstanceStatus, Log, OrchestrationContext, Result,
        RetryPolicy, Reuse, RuntimeStatus, TaskFuture, TimerInfo, Timestamp,
    };
    pub use std::time::Duration;
}

/// What the macros expand to. Not for use by hand; it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::function::{
        Definition, Function, FunctionInput, FunctionOutput, HttpOptions, HttpOutput, Ignored, TimerOptions,
        assert_input, assert_output, assert_response, assert_unique, describe, orchestrate, perform, respond,
        run_activity, run_http, run_orchestrator, run_trigger, trigger,
    };
}

/// Makes the functions an app: exports them from the component. Once in a crate.
///
/// Takes the functions marked with [`orchestrator`], [`activity`], [`http`](macro@http), [`incoming`], [`manual`] and [`timer`],
/// by path.
/// The app's version label is the crate's version. Two functions of one kind with the same name do not compile, nor do a
/// manual and a timer function.
///
/// ```
/// use durawasm::prelude::*;
///
/// mod greetings {
///     use durawasm::prelude::*;
///
///     #[durawasm::activity]
///     pub fn greet(_ctx: ActivityContext, name: String) -> Result<String> {
///         Ok(format!("Hello {name}!"))
///     }
/// }
///
/// durawasm::app!(greetings::greet);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! app {
    ($($function:path),+ $(,)?) => {
        const _: () = {
            use $crate::__private as durawasm;

            const FUNCTIONS: &[durawasm::Definition] = &[$(<$function as durawasm::Function>::DEFINITION),+];
            const _: () = durawasm::assert_unique(FUNCTIONS);

            struct App;

            impl $crate::bindings::exports::durable::functions::describe::Guest for App {
                fn describe() -> ::core::result::Result<
                    $crate::bindings::exports::durable::functions::describe::App,
                    ::std::string::String,
                > {
                    durawasm::describe(FUNCTIONS, ::core::option_env!("CARGO_PKG_VERSION"))
                }
            }

            impl $crate::bindings::exports::durable::functions::orchestrator::Guest for App {
                fn run(
                    name: ::std::string::String,
                    input: ::core::option::Option<::std::string::String>,
                ) -> ::core::result::Result<
                    ::core::option::Option<::std::string::String>,
                    $crate::raw::types::Failure,
                > {
                    durawasm::run_orchestrator(FUNCTIONS, &name, input)
                }
            }

            impl $crate::bindings::exports::durable::functions::activity::Guest for App {
                fn run(
                    name: ::std::string::String,
                    input: ::core::option::Option<::std::string::String>,
                ) -> ::core::result::Result<
                    ::core::option::Option<::std::string::String>,
                    $crate::raw::types::Failure,
                > {
                    durawasm::run_activity(FUNCTIONS, &name, input)
                }
            }

            impl $crate::bindings::exports::durable::functions::http_function::Guest for App {
                fn handle(
                    name: ::std::string::String,
                    request: $crate::bindings::exports::durable::functions::http_function::Request,
                ) -> ::core::result::Result<
                    $crate::bindings::exports::durable::functions::http_function::Response,
                    $crate::raw::types::Failure,
                > {
                    durawasm::run_http(FUNCTIONS, &name, request)
                }
            }

            impl $crate::bindings::exports::durable::functions::trigger::Guest for App {
                fn run(
                    name: ::std::string::String,
                    input: ::core::option::Option<::std::string::String>,
                ) -> ::core::result::Result<
                    ::core::option::Option<::std::string::String>,
                    $crate::raw::types::Failure,
                > {
                    durawasm::run_trigger(FUNCTIONS, &name, input)
                }
            }

            $crate::bindings::export!(App with_types_in $crate::bindings);
        };
    };
}
