//! Running ahead: activities of which nobody can see anything run before the commit that schedules them, and share it.
//!
//! What a guest computes is its own until it tells somebody: an activity that comes to its end without that may as well
//! run before its scheduling is durable as after it. So an orchestration goes on, from such an activity to the next, for as
//! long as `Settings::run_ahead` says, and all of it is one commit. An activity that wants out (a connection, a call of the
//! durable client) or that has to wait for anything ends the run: what there is is committed, and the activity
//! goes on when that is durable. If it never is, nothing of it happened.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use durawasm_core::decision::Decision;
use durawasm_core::model::HTTP_ACTIVITY;
use durawasm_core::{ActivityCall, Effect, Message, Orchestration, State};
use tokio::time::Instant;

use super::Inner;
use super::activities::Begun;
use super::episode::Live;

/// More activities at once than this have more from running side by side.
const AT_ONCE: usize = 8;

/// Bytes of inputs and results that one commit takes from what ran ahead, about: what follows goes into another one, so
/// that nobody waits long for a commit that shares a sync with it.
const BYTES: usize = 1 << 20;

/// What came of running ahead.
pub(super) struct Ahead {
    /// All that is decided.
    pub(super) decision: Decision,
    /// What it wants to be run and runs already.
    pub(super) begun: Vec<Begun>,
    /// The host could not go on with the guest. What it did last is not decided.
    pub(super) host_fault: bool,
    /// Of the inputs and results of what has run.
    pub(super) bytes: usize,
}

impl Inner {
    /// Goes on from an episode that ended with this decision. `began`: when the work that its commit waits for began.
    pub(super) async fn run_ahead(self: &Arc<Self>, live: &mut Live, decision: Decision, began: Instant) -> Ahead {
        let mut ahead = Ahead::of(decision);
        while self.may_run_ahead(&ahead, began) {
            let State::Running = live.session.with(|orchestration| orchestration.state()) else { break };
            let calls = ahead.calls();
            if calls.is_empty() || calls.len() > AT_ONCE {
                break;
            }
            let ended = self.try_all(live, (calls, began), &mut ahead).await;
            if ended.is_empty() {
                break;
            }
            let now = self.now();
            live.session.with(|orchestration| {
                orchestration.begin_episode(now);
                for message in ended {
                    orchestration.deliver(message, now);
                }
            });
            ahead.decide(live);
            if self.run(live).await {
                ahead.host_fault = true;
                break;
            }
            ahead.decide(live);
        }
        ahead
    }

    fn may_run_ahead(&self, ahead: &Ahead, began: Instant) -> bool {
        let is_small = ahead.begun.is_empty() && ahead.bytes < BYTES;
        is_small && began.elapsed() < self.settings.run_ahead && !self.is_stopping()
    }

    /// Runs attempts until one has to wait, which then goes on by itself. The messages of those that ended; the others are
    /// begun after the commit, side by side.
    async fn try_all(
        self: &Arc<Self>,
        live: &mut Live,
        (calls, began): (Vec<ActivityCall>, Instant),
        ahead: &mut Ahead,
    ) -> Vec<Message> {
        let (caller, context) = (Arc::new(live.record.clone()), self.context_of(&live.session));
        live.keep_log();
        let mut ended = Vec::new();
        for call in calls {
            if !self.may_run_ahead(ahead, began) {
                break;
            }
            let input = call.input.as_ref().map_or(0, |input| input.len());
            let mut attempt = self.attempt_of(&caller, call, context.clone());
            match poll_fn(|context| Poll::Ready(attempt.work.as_mut().poll(context))).await {
                Poll::Ready((message, used)) => {
                    live.used.add(used);
                    live.keep_lines(attempt.log.take_held());
                    ahead.has_run((attempt.task.0, attempt.attempt));
                    ahead.bytes += input + brought(&message);
                    ended.push(message);
                }
                Poll::Pending => ahead.begun.push(self.send_off(&caller, attempt)),
            }
        }
        ended
    }
}

/// Bytes of the result that a message brings.
fn brought(message: &Message) -> usize {
    // Errors are short.
    if let Message::ActivityEnded { outcome: Ok(Some(result)), .. } = message { result.len() } else { 0 }
}

impl Ahead {
    /// Nothing has run beyond this decision.
    pub(super) fn of(decision: Decision) -> Self {
        Self { decision, begun: Vec::new(), host_fault: false, bytes: 0 }
    }

    /// The activities that are to be run.
    fn calls(&self) -> Vec<ActivityCall> {
        let calls = self.decision.effects.iter().filter_map(|effect| match effect {
            Effect::RunActivity(call) if call.name != HTTP_ACTIVITY => Some(call.clone()),
            Effect::RunActivity(_)
            | Effect::SetTimer { .. }
            | Effect::ClearTimer { .. }
            | Effect::CancelActivity { .. }
            | Effect::Send(_) => None,
        });
        calls.collect()
    }

    /// This attempt need not be run any more.
    fn has_run(&mut self, (task, attempt): (u32, u32)) {
        self.decision.effects.retain(
            |effect| !matches!(effect, Effect::RunActivity(call) if (call.task.0, call.attempt) == (task, attempt)),
        );
    }

    fn decide(&mut self, live: &Live) {
        let decision = std::mem::take(&mut self.decision);
        self.decision = decision.then(live.session.with(Orchestration::take_decision));
    }
}
