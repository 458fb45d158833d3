//! What the writer takes together.

use std::time::{Duration, Instant};

use super::work::Job;
use super::writer::Writer;
use crate::store::StoreError;

/// Commits in one group, at most: what is lost by waiting grows beyond it, what is won by sharing a sync no longer.
const GROUP_JOBS: usize = 1024;
/// Bytes of large payloads in one group, at which no more is added.
const GROUP_BYTES: usize = 4 << 20;
/// How long a group waits for those who were acknowledged a moment ago and will soon be back.
const GATHER: Duration = Duration::from_micros(300);

/// What there is to do.
pub(super) enum Gathered {
    /// Empty: there is only garbage to remove.
    Group(Vec<Job>),
    /// Nothing, until something comes.
    Nothing,
    /// Nothing, and nothing will come: the store is closed.
    Closed,
}

impl Writer {
    /// The next group. Lands what has landed meanwhile.
    pub(super) fn gather(&mut self) -> Result<Gathered, StoreError> {
        let mut group = Vec::new();
        self.was_idle = false;
        loop {
            // What was put off may have waited for something in flight.
            self.land()?;
            if std::mem::take(&mut self.has_landed) || self.flights.is_empty() {
                group.append(&mut self.later);
            }
            if !group.is_empty() {
                break;
            }
            match self.queue.receive() {
                Some(true) => break,
                Some(false) if self.flights.is_empty() && self.garbage.is_empty() => {
                    self.was_idle = true;
                    return Ok(Gathered::Nothing);
                }
                Some(false) if self.flights.is_empty() => return Ok(Gathered::Group(group)),
                Some(false) => {
                    self.was_idle = true;
                    self.queue.wait_for_any();
                }
                None if self.flights.is_empty() => return Ok(Gathered::Closed),
                None => self.land_all()?,
            }
        }
        let mut filling = self.queue.filling(&group);
        while group.len() < GROUP_JOBS && filling.bytes < GROUP_BYTES {
            if let Some(job) = self.queue.next(&mut filling) {
                group.push(job);
                continue;
            }
            if !self.wait_for_more(group.len())? {
                break;
            }
        }
        Ok(Gathered::Group(group))
    }

    /// Waits for more for a group of this size, if that is worth it. False: it is not, or nothing came in time.
    fn wait_for_more(&mut self, size: usize) -> Result<bool, StoreError> {
        if self.queue.has_more() {
            return Ok(false);
        }
        if self.flights.is_empty() {
            // A lone commit never waits. Others wait for as long as a sync takes, if that spares one.
            if size < 2 || size >= self.acknowledged {
                return Ok(false);
            }
            let until = self.acknowledged_at + GATHER.min(self.disk.sync_took);
            return Ok(self.queue.wait(until.saturating_duration_since(Instant::now())));
        }
        // It could not take off now, or would better do so in the middle between two others.
        let until = (!self.flights.is_full()).then(|| self.flights.next_start(self.disk.sync_took)).flatten();
        if until.is_some_and(|until| until <= Instant::now()) {
            return Ok(false);
        }
        self.queue.rest(until);
        self.land()?;
        Ok(true)
    }
}
