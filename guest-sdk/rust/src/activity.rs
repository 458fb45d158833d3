//! The activity's context.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durable::functions::activity_context as host;
use crate::client::DurableClient;
use crate::error::Result;
use crate::log::Log;
use crate::payload::{decode, encode};
use crate::{ActivityInfo, LogLevel};

/// What an activity knows about its call and can tell the host; its first parameter.
#[derive(Clone, Copy)]
pub struct ActivityContext {
    /// Made by this crate only.
    private: (),
}

impl ActivityContext {
    pub(crate) fn new() -> Self {
        Self { private: () }
    }

    /// Everything the host tells about the call.
    pub fn call(self) -> ActivityInfo {
        host::info()
    }

    /// The instance that called.
    pub fn instance_id(self) -> String {
        host::info().instance_id
    }

    /// 1 for the first attempt of a retry policy.
    pub fn attempt(self) -> u32 {
        host::info().attempt
    }

    /// The same for every delivery of one attempt and different for every other. An activity may run more than once
    /// for one call; services that can deduplicate do so by this key.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn pay(amount: u32, key: &str) -> Result<()> { Ok(()) }
    /// #[durawasm::activity]
    /// fn charge(ctx: ActivityContext, amount: u32) -> Result<()> {
    ///     pay(amount, &ctx.idempotency_key())
    /// }
    /// ```
    pub fn idempotency_key(self) -> String {
        host::info().idempotency_key
    }

    /// Starts and manages orchestrations of the hub. An activity may run more than once for one call, and so may what it
    /// does with the client: give what it starts an instance id.
    pub fn client(self) -> DurableClient {
        DurableClient::new()
    }

    /// What the attempt before this one gave with its last heartbeat: where to go on from. None in a first attempt, and
    /// when the host was killed in between. Fails if it is not what `T` expects.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn upload(part: u32) -> Result<()> { Ok(()) }
    /// #[durawasm::activity]
    /// fn upload_all(ctx: ActivityContext, parts: u32) -> Result<()> {
    ///     let done: u32 = ctx.last_heartbeat()?.unwrap_or(0);
    ///     for part in done..parts {
    ///         upload(part)?;
    ///         if ctx.heartbeat(part + 1)? {
    ///             break;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn last_heartbeat<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let Some(details) = host::info().last_heartbeat else { return Ok(None) };
        decode(Some(&details), || "the last heartbeat".to_owned()).map(Some)
    }

    /// Says that the activity is still alive, with what its next attempt should know. True: nobody waits for it any more;
    /// it should end, and is stopped soon. Fails if the details cannot be written as JSON.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn pack(item: u32) {}
    /// #[durawasm::activity]
    /// fn pack_all(ctx: ActivityContext, items: Vec<u32>) -> Result<usize> {
    ///     for (done, item) in items.iter().enumerate() {
    ///         if ctx.heartbeat(done)? {
    ///             return Ok(done);
    ///         }
    ///         pack(*item);
    ///     }
    ///     Ok(items.len())
    /// }
    /// ```
    pub fn heartbeat(self, details: impl Serialize) -> Result<bool> {
        Ok(host::heartbeat(encode(&details)?.as_deref()))
    }
}

impl Log for ActivityContext {
    fn log(&self, level: LogLevel, message: impl Display) {
        let () = self.private;
        host::log(level, &message.to_string());
    }
}
