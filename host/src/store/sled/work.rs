//! What the writer is asked to do, and how it answers.

use tokio::sync::oneshot;

use super::group::ScheduleChange;
use super::prepare::Prepared;
use super::purge::Purge;
use super::settings::Setting;
use crate::fair::Permit;
use crate::store::{AppRecord, CommitError, Committed, HubName, MailId, TimerRow, Usage};

/// Work for the writer.
#[derive(Debug)]
pub(super) enum Work {
    /// A commit.
    Commit(Box<Prepared>, oneshot::Sender<Result<Committed, CommitError>>),
    /// Several commits, all or none.
    CommitAll(Vec<Prepared>, oneshot::Sender<Result<Vec<Committed>, CommitError>>),
    /// A message that is taken, and the encoded answer to it.
    AnswerMail(MailId, Option<Vec<u8>>, oneshot::Sender<Result<MailId, CommitError>>),
    /// An app's record and the generation it replaces.
    PutApp(Box<AppRecord>, u32, oneshot::Sender<Result<(), CommitError>>),
    /// Where a timer function is in its schedule.
    PutSchedule(Box<ScheduleChange>, oneshot::Sender<Result<(), CommitError>>),
    /// A change of a hub's record, or the end of an app's.
    Set(Setting, oneshot::Sender<Result<(), CommitError>>),
    /// An instance to remove.
    Purge(Purge, oneshot::Sender<Result<Committed, CommitError>>),
    /// Timers of instances that are gone.
    Forget(Vec<TimerRow>),
    /// What a hub is charged for.
    Charge(HubName, Usage, oneshot::Sender<Result<(), CommitError>>),
}

impl Work {
    /// What changes instances only. The rest is rare, and its rows are decided by more than what it notes as touched.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Commit(..)
            | Self::CommitAll(..)
            | Self::AnswerMail(..)
            | Self::Purge(..)
            | Self::Forget(_)
            | Self::Charge(..) => true,
            Self::PutApp(..) | Self::PutSchedule(..) | Self::Set(..) => false,
        }
    }
}

/// Work, and the place in the queue that it takes until it is done.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) place: Option<Permit>,
}

/// An answer that waits for the sync.
pub(super) enum Answer {
    Commit(oneshot::Sender<Result<Committed, CommitError>>, Result<Committed, CommitError>),
    CommitAll(oneshot::Sender<Result<Vec<Committed>, CommitError>>, Result<Vec<Committed>, CommitError>),
    Mail(oneshot::Sender<Result<MailId, CommitError>>, Result<MailId, CommitError>),
    Row(oneshot::Sender<Result<(), CommitError>>, Result<(), CommitError>),
}

impl Answer {
    /// Nobody listens any more if the caller was dropped; the commit stands all the same.
    pub(super) fn send(self) {
        match self {
            Self::Commit(reply, result) => drop(reply.send(result)),
            Self::CommitAll(reply, result) => drop(reply.send(result)),
            Self::Mail(reply, result) => drop(reply.send(result)),
            Self::Row(reply, result) => drop(reply.send(result)),
        }
    }
}

/// What is answered after a sync, and the places in the queue that are free then.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) answers: Vec<Answer>,
    pub(super) places: Vec<Option<Permit>>,
}
