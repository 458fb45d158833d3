//! Logging, the same in all contexts.

use std::fmt::Display;

use crate::LogLevel;

/// Writes to the log: that of the instance for orchestrators and activities, that of the function for all others. An
/// orchestrator's lines appear once, however often it is replayed.
///
/// ```no_run
/// use durawasm::prelude::*;
///
/// # fn example(ctx: OrchestrationContext, total: u32) {
/// ctx.info("all orders are packed");
/// ctx.warn(format_args!("{total} of them late"));
/// # }
/// ```
pub trait Log {
    /// Writes a line of a given level.
    fn log(&self, level: LogLevel, message: impl Display);

    /// Writes a line of level trace.
    fn trace(&self, message: impl Display) {
        self.log(LogLevel::Trace, message);
    }

    /// Writes a line of level debug.
    fn debug(&self, message: impl Display) {
        self.log(LogLevel::Debug, message);
    }

    /// Writes a line of level info.
    fn info(&self, message: impl Display) {
        self.log(LogLevel::Info, message);
    }

    /// Writes a line of level warn.
    fn warn(&self, message: impl Display) {
        self.log(LogLevel::Warn, message);
    }

    /// Writes a line of level error.
    fn error(&self, message: impl Display) {
        self.log(LogLevel::Error, message);
    }
}

/// Writes a formatted line of level info: `info!(ctx, "packed {n} orders")`.
///
/// ```no_run
/// # fn example(ctx: durawasm::OrchestrationContext, n: u32) {
/// durawasm::info!(ctx, "packed {n} orders");
/// # }
/// ```
#[macro_export]
macro_rules! info {
    ($ctx:expr, $($message:tt)+) => { $crate::Log::info(&$ctx, ::core::format_args!($($message)+)) };
}

/// Writes a formatted line of level warn; see [`info!`].
#[macro_export]
macro_rules! warn {
    ($ctx:expr, $($message:tt)+) => { $crate::Log::warn(&$ctx, ::core::format_args!($($message)+)) };
}

/// Writes a formatted line of level error; see [`info!`].
#[macro_export]
macro_rules! error {
    ($ctx:expr, $($message:tt)+) => { $crate::Log::error(&$ctx, ::core::format_args!($($message)+)) };
}

/// Writes a formatted line of level debug; see [`info!`].
#[macro_export]
macro_rules! debug {
    ($ctx:expr, $($message:tt)+) => { $crate::Log::debug(&$ctx, ::core::format_args!($($message)+)) };
}
