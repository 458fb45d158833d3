//! Verdicts: whether a component repeats a recorded history, found out by running it. Nothing is saved, sent or done.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use durawasm_core::{Divergence, HistoryEvent, Orchestration, Stopped, Timestamp};

use super::executor::{Executor, HostFault, OrchestratorRun, RunEnd};
use super::session::Session;
use crate::store::{AppVersion, Digest, FunctionKind};

/// How long a check may take. A history of a hundred thousand steps takes a minute of nothing else.
pub const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// How long a check waits for a place for its guest; and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// What a component does with a history: all that it says, or something else.
pub type Verdict = Result<(), Divergence>;

/// Why there is no verdict.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckError {
    /// No execution can have this history.
    #[error("{0}")]
    Broken(String),
    /// The host could not run the component.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// It took too long.
    #[error("the component did not come to the end of the history within {0:?}")]
    TooLong(Duration),
}

/// Runs the orchestrator of a history with a component, as far as the history goes. The component's limits are those of
/// every orchestrator; its logs are dropped.
///
/// # Errors
/// See [`CheckError`].
pub async fn check(
    executor: &dyn Executor,
    version: &AppVersion,
    history: &[HistoryEvent],
) -> Result<Verdict, CheckError> {
    let checked = Orchestration::check(history).map_err(|error| CheckError::Broken(error.to_string()))?;
    if let Err(missing) = has_function(version, &checked.started().name) {
        return Ok(Err(missing));
    }
    if checked.is_checked() {
        return Ok(Ok(()));
    }
    let found = tokio::time::timeout(LONGEST_CHECK, async {
        let (began, mut checked) = (Instant::now(), checked);
        loop {
            match run(executor, version.digest, checked).await {
                Err(CheckError::Host(HostFault::Full(_))) if began.elapsed() < PATIENCE => {}
                verdict => return verdict,
            }
            tokio::time::sleep(LOOK).await;
            checked = Orchestration::check(history).map_err(|error| CheckError::Broken(error.to_string()))?;
        }
    });
    found.await.unwrap_or(Err(CheckError::TooLong(LONGEST_CHECK)))
}

async fn run(executor: &dyn Executor, digest: Digest, checked: Orchestration) -> Result<Verdict, CheckError> {
    let session = Arc::new(Session::new(checked));
    let started = session.started();
    let mut guest = executor.orchestrate(OrchestratorRun {
        digest,
        name: started.name,
        input: started.input,
        session: Arc::clone(&session),
        // A trial: nothing of it counts.
        stops: Arc::default(),
        share: Arc::default(),
    });
    // A guest that waits has nobody who would wake it: what has been recorded is all there is.
    let end = poll_fn(|context| match guest.as_mut().poll(context) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending if session.is_blocked() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let stopped = match end.await {
        None => Stopped::Waiting,
        Some(RunEnd::Returned(outcome)) => Stopped::Returned(outcome),
        Some(RunEnd::Faulted) => match session.fault() {
            Some(fault) => Stopped::Refused(fault),
            None => return Err(HostFault::Broken("a guest was stopped without a reason".to_owned()).into()),
        },
        Some(RunEnd::Host(fault)) => return Err(fault.into()),
    };
    Ok(session.with(|checked| checked.verdict(stopped)))
}

/// A version without the function cannot begin to repeat anything.
fn has_function(version: &AppVersion, name: &str) -> Verdict {
    if version.functions.iter().any(|(kind, known)| *kind == FunctionKind::Orchestrator && known == name) {
        return Ok(());
    }
    Err(Divergence {
        position: 0,
        expected: format!("run the orchestrator '{name}'"),
        found: "have no orchestrator of this name".to_owned(),
        failure: None,
    })
}

/// The part of a history that counts for going on: of a failed execution what a rewind would keep.
pub(super) fn as_rewound(history: Vec<HistoryEvent>, now: Timestamp) -> Vec<HistoryEvent> {
    Orchestration::rewound(&history, durawasm_core::Rewind::default(), now).unwrap_or(history)
}
