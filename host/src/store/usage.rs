//! What hubs have used, and what they store.

use durawasm_core::HistoryEvent;

use super::{PayloadChanges, StoreError};

/// What a hub has used, or how much more of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What episodes of orchestrators have run that was new, in units of fuel.
    pub orchestrator_fuel: u64,
    /// The same of activities.
    pub activity_fuel: u64,
    /// The same of HTTP, manual and timer functions.
    pub function_fuel: u64,
    /// Attempts of activities, HTTP calls of orchestrators included.
    pub activities: u64,
    /// How long they ran, in microseconds.
    pub activity_time: u64,
    /// Calls of HTTP, manual and timer functions.
    pub functions: u64,
    /// How long they ran, in microseconds.
    pub function_time: u64,
    /// Memory of guests times how long they had it, in MiB-milliseconds.
    pub memory_time: u64,
    /// Requests.
    pub requests: u64,
    /// Connections to the outside.
    pub connections: u64,
    /// Bytes sent and received on them.
    pub egress_bytes: u64,
}

impl Usage {
    /// True: there is nothing to be added.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was used beside this.
    pub fn add(&mut self, more: Self) {
        let Self {
            orchestrator_fuel,
            activity_fuel,
            function_fuel,
            activities,
            activity_time,
            functions,
            function_time,
            memory_time,
            requests,
            connections,
            egress_bytes,
        } = self;
        for (sum, more) in [
            (orchestrator_fuel, more.orchestrator_fuel),
            (activity_fuel, more.activity_fuel),
            (function_fuel, more.function_fuel),
            (activities, more.activities),
            (activity_time, more.activity_time),
            (functions, more.functions),
            (function_time, more.function_time),
            (memory_time, more.memory_time),
            (requests, more.requests),
            (connections, more.connections),
            (egress_bytes, more.egress_bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Fuel of all guests.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        self.orchestrator_fuel.saturating_add(self.activity_fuel).saturating_add(self.function_fuel)
    }
}

/// What a hub has used since it was created, and what it stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubUsage {
    /// Added up.
    pub used: Usage,
    /// Bytes of the histories, inputs, outputs and custom statuses of its instances.
    pub stored_bytes: u64,
}

/// Bytes that an instance stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) history: u64,
    /// Input, output and custom status.
    pub(super) payloads: [u64; 3],
}

impl Stored {
    pub(super) fn bytes(&self) -> u64 {
        self.payloads.iter().fold(self.history, |sum, payload| sum.saturating_add(*payload))
    }

    /// After a commit with these payloads.
    pub(super) fn change(&mut self, changes: &PayloadChanges) {
        let PayloadChanges { input, output, custom_status } = changes;
        for (size, change) in self.payloads.iter_mut().zip([input, output, custom_status]) {
            if let Some(payload) = change {
                *size = payload.as_ref().map_or(0, |payload| payload.len() as u64);
            }
        }
    }

    /// After a commit with these events.
    pub(super) fn append(&mut self, events: &[HistoryEvent], fresh_history: bool) -> Result<(), StoreError> {
        if fresh_history {
            self.history = 0;
        }
        if !events.is_empty() {
            self.history = self.history.saturating_add(super::sled::events_bytes(events)?);
        }
        Ok(())
    }
}
