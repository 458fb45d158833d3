//! `durawasm serve`.

use tracing_subscriber::EnvFilter;

use super::args::{LogFormat, ServeArgs};
use super::{CliError, show};
use crate::server::{Server, store_failure};

pub(super) async fn serve(args: ServeArgs) -> Result<(), CliError> {
    log(&args, "info");
    let mut server = Server::start(args.options()).await.map_err(CliError::Usage)?;
    show::line(&format!("durawasm listens on http://{}", server.address()));
    // Listened for all the time: a signal that comes between two waits is not lost.
    let mut stop = std::pin::pin!(stop_signal());
    let engine = tokio::select! {
        engine = server.engine() => engine.map_err(CliError::Refused)?,
        () = &mut stop => return Ok(()),
    };
    tokio::select! {
        () = &mut stop => {
            show::line("stopping");
            tokio::select! {
                stopped = server.stop(engine) => stopped.map_err(CliError::Refused),
                // Whoever asks twice does not want to wait. Everything acknowledged is durable.
                () = stop_signal() => Ok(()),
            }
        }
        // What is on the disk is known only after opening it anew: a supervisor starts the process again.
        reason = store_failure(&engine) => Err(CliError::Refused(format!(
            "the store stopped: {reason}. Nothing acknowledged is lost; mend the cause (disk space, disk) and start again."
        ))),
    }
}

/// Logs to standard error what the arguments say, or `RUST_LOG`, or this.
pub(super) fn log(args: &ServeArgs, level: &str) {
    let filter = match &args.log {
        Some(filter) => EnvFilter::new(filter),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)),
    };
    let text = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second initialisation fails and changes nothing: the first one's settings stay.
    let _already = match args.log_format {
        LogFormat::Text => text.try_init(),
        LogFormat::Json => text.json().flatten_event(true).try_init(),
    };
}

/// Ctrl-C, and SIGTERM where there is one.
pub(super) async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler nobody can ask us to stop: then only a kill ends the process, which loses nothing.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
