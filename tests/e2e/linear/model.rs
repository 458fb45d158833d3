//! What the management API promises about one id, as a machine that does one thing after another.

/// An operation. Each number is used once, so that what is seen later tells what it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Starts an instance that waits for an event; `never`: only if the id is free, otherwise also if its instance has
    /// ended.
    Start {
        input: u32,
        never: bool,
    },
    Raise(u32),
    Terminate(u32),
    Suspend,
    Resume,
    Purge,
    Status,
}

/// What an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nobody heard: it has happened, once, or not at all.
    Unknown,
    /// The code of the answer.
    Code(u16),
    /// What a status showed.
    Seen(Seen),
}

/// An instance as a status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Absent,
    Open { input: u32, suspended: bool },
    Completed { input: u32, output: u32 },
    Terminated { input: u32, reason: u32 },
}

/// The id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Absent,
    /// `event`: the first that was raised.
    Open {
        input: u32,
        suspended: bool,
        event: Option<u32>,
    },
    Completed {
        input: u32,
        output: u32,
    },
    Terminated {
        input: u32,
        reason: u32,
    },
}

impl State {
    /// As it is, and as it may have become by itself: an instance takes its event in its own time.
    fn by_itself(self) -> impl Iterator<Item = Self> {
        let completed = match self {
            Self::Open { input, suspended: false, event: Some(output) } => Some(Self::Completed { input, output }),
            Self::Open { .. } | Self::Absent | Self::Completed { .. } | Self::Terminated { .. } => None,
        };
        std::iter::once(self).chain(completed)
    }

    fn seen(self) -> Seen {
        match self {
            Self::Absent => Seen::Absent,
            Self::Open { input, suspended, .. } => Seen::Open { input, suspended },
            Self::Completed { input, output } => Seen::Completed { input, output },
            Self::Terminated { input, reason } => Seen::Terminated { input, reason },
        }
    }

    /// The answer to an operation, and the state after it.
    fn answer(self, op: Op) -> (Outcome, Self) {
        let code = |code, state| (Outcome::Code(code), state);
        match (op, self) {
            (Op::Status, state) => (Outcome::Seen(state.seen()), state),
            (Op::Start { input, .. }, Self::Absent) => code(202, Self::Open { input, suspended: false, event: None }),
            (Op::Start { .. }, Self::Open { .. }) | (Op::Start { never: true, .. }, _) => code(409, self),
            (Op::Start { input, .. }, Self::Completed { .. } | Self::Terminated { .. }) => {
                code(202, Self::Open { input, suspended: false, event: None })
            }
            (Op::Purge, Self::Open { .. }) => code(409, self),
            (Op::Purge, Self::Completed { .. } | Self::Terminated { .. }) => code(200, Self::Absent),
            (Op::Raise(_) | Op::Terminate(_) | Op::Suspend | Op::Resume | Op::Purge, Self::Absent) => code(404, self),
            (
                Op::Raise(_) | Op::Terminate(_) | Op::Suspend | Op::Resume,
                Self::Completed { .. } | Self::Terminated { .. },
            ) => code(410, self),
            (Op::Raise(value), Self::Open { input, suspended, event }) => {
                code(202, Self::Open { input, suspended, event: event.or(Some(value)) })
            }
            (Op::Terminate(reason), Self::Open { input, .. }) => code(202, Self::Terminated { input, reason }),
            (Op::Suspend, Self::Open { input, event, .. }) => code(202, Self::Open { input, suspended: true, event }),
            (Op::Resume, Self::Open { input, event, .. }) => code(202, Self::Open { input, suspended: false, event }),
        }
    }

    /// The states after an operation that came to this; none: it cannot have.
    pub(super) fn after(self, op: Op, outcome: Outcome) -> impl Iterator<Item = Self> {
        self.by_itself().filter_map(move |state| {
            let (expected, after) = state.answer(op);
            (outcome == Outcome::Unknown || outcome == expected).then_some(after)
        })
    }
}
