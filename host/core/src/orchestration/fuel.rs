//! What the code costs: counted by whoever runs it, charged once, and the same in every replay.

use super::{Orchestration, Phase};
use crate::model::Fuel;

/// The fuel of one run.
#[derive(Debug, Default)]
pub(super) struct FuelCount {
    /// Exactly what the run had used at the wait or the return where it is.
    pub(super) exact: Option<Fuel>,
    /// All that it has used, as far as is known.
    total: u64,
    /// How much of that was charged, or was charged in an earlier run.
    charged: u64,
}

impl FuelCount {
    /// What follows is new.
    pub(super) fn goes_live(&mut self) {
        self.charged = self.total;
    }
}

impl Orchestration {
    /// The code is about to wait, or has returned, and has used this much since the beginning of its run.
    pub fn spent(&mut self, fuel: Fuel) {
        self.run.fuel.exact = Some(fuel);
        self.run.fuel.total = fuel.total;
    }

    /// The code was stopped at a place that need not be the same in a replay.
    pub fn stopped(&mut self, total: u64) {
        self.run.fuel.exact = None;
        self.run.fuel.total = total;
    }

    /// What new instructions have cost since this was asked last. What repeats the record costs nothing.
    pub fn take_new_fuel(&mut self) -> u64 {
        match self.run.phase {
            Phase::Live => {
                let new = self.run.fuel.total.saturating_sub(self.run.fuel.charged);
                self.run.fuel.charged = self.run.fuel.total;
                new
            }
            Phase::Replaying { .. } | Phase::Checked => 0,
        }
    }

    /// True: the code repeats episodes that are recorded to their ends. False: it is at the wait where the last of them
    /// stopped, or beyond.
    #[must_use]
    pub fn is_within_record(&self) -> bool {
        match &self.run.phase {
            Phase::Replaying { waits, .. } => self.run.waits_served < *waits,
            Phase::Live | Phase::Checked => false,
        }
    }

    /// What the execution had used, by this count, where its last recorded episode stopped.
    #[must_use]
    pub fn recorded_fuel(&self, _code: u64) -> Option<u64> {
        None
    }
}
