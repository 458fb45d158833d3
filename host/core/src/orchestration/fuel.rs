//! What the code costs: counted by whoever runs it, charged once, and the same in every replay.

use super::guest::list_of;
use super::{Orchestration, Phase};
use crate::command::Say;
use crate::error::NonDeterminism;
use crate::history::EventKind;
use crate::model::{Fuel, TaskId};

/// What the code had used where a recorded episode stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordedFuel {
    /// Of the event that says so.
    pub(super) position: usize,
    /// How many waits had been served.
    pub(super) waits_served: u32,
    pub(super) fuel: Fuel,
}

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

    /// What the execution had used, by this count, where its last recorded episode stopped; none: that episode does not say.
    #[must_use]
    pub fn recorded_fuel(&self, code: u64) -> Option<u64> {
        let Phase::Replaying { record, waits, .. } = &self.run.phase else { return None };
        let last = record.fuel.back()?;
        (last.waits_served == *waits && last.fuel.code == code).then_some(last.fuel.total)
    }

    /// The guest is at a wait. If a recorded episode stopped here, it must have used what it had used then.
    pub(super) fn reach_fuel(&mut self, tasks: &[TaskId]) -> Result<(), NonDeterminism> {
        let (served, used) = (self.run.waits_served, self.run.fuel.exact);
        let Phase::Replaying { record, .. } = &mut self.run.phase else { return Ok(()) };
        while record.fuel.front().is_some_and(|first| first.waits_served < served) {
            record.fuel.pop_front();
        }
        let here = record.fuel.front().filter(|first| first.waits_served == served);
        let (Some(here), Some(used)) = (here, used) else { return Ok(()) };
        if used == here.fuel || used.code != here.fuel.code {
            return Ok(());
        }
        // A command that was left out says more than what it would have cost.
        if let Some((position, recorded)) = record.commands.front().filter(|(position, _)| *position < here.position) {
            let (expected, found) = (Say(recorded).to_string(), format!("wait for {}", list_of(tasks)));
            return Err(NonDeterminism { position: *position, expected, found });
        }
        Err(other_fuel(here.position, "wait here", here.fuel, used))
    }
}

/// A return must come after the same amount of fuel as the recorded one.
pub(super) fn same_fuel_at_return(
    position: usize,
    recorded: &EventKind,
    made: &EventKind,
) -> Result<(), NonDeterminism> {
    if let (
        EventKind::OrchestratorReturned { fuel: Some(recorded), .. },
        EventKind::OrchestratorReturned { fuel: Some(made), .. },
    ) = (recorded, made)
        && recorded.code == made.code
        && recorded.total != made.total
    {
        return Err(other_fuel(position, "return", *recorded, *made));
    }
    Ok(())
}

/// The same calls after other instructions: something that the code sees was not the same.
fn other_fuel(position: usize, what: &str, recorded: Fuel, used: Fuel) -> NonDeterminism {
    NonDeterminism {
        position,
        expected: format!("{what} with {} units of fuel used", recorded.total),
        found: format!(
            "do so with {} used: it makes the same calls by other instructions, so something that it reads between them \
             is not the same in each run",
            used.total
        ),
    }
}
