//! The rows that lists are read from, and what changes them.
//!
//! * Each instance has a row under its orchestrator's name, in the order of lists. Written once, at the start. A list of
//!   all orchestrators merges those of each; the counts say which there are.
//! * The index by status has only what is rare among many: instances that ended otherwise than completed, and those
//!   that are open and have once waited. An open instance that never waited has a row among the ready ones, as it must
//!   anyway. So an orchestration that runs through and completes, the most frequent thing by far, writes none of them.
//! * A child has a row under its parent's id.

use durawasm_core::Status;

use super::encoding::{self, Head, NumberRow};
use super::group::Decision;
use super::keys::{self, Ordered};
use super::prepare::Prepared;
use crate::store::{InstanceRecord, StoreError};

/// The class of instances that have not ended. Those that have ended are in the class with their status's number.
pub(super) const OPEN: u8 = Status::Running as u8;

/// The class under which the index by status has an instance; none: it has no row there. An open instance keeps its
/// row while it works again, so that waiting and working in turn writes nothing.
pub(super) fn class(before: Option<u8>, status: Status, ready: bool) -> Option<u8> {
    match status {
        Status::Completed => None,
        Status::Failed | Status::Canceled | Status::Terminated => Some(status as u8),
        Status::Running | Status::ContinuedAsNew | Status::Pending | Status::Suspended => {
            (!ready || before == Some(OPEN)).then_some(OPEN)
        }
    }
}

/// Index rows and counts for a commit that leads from `before` (none: a start) to `head`.
pub(super) fn changed(
    before: Option<&Head>,
    head: &Head,
    prepared: &Prepared,
    decision: &mut Decision,
) -> Result<(), StoreError> {
    let Prepared { hub, id, name, parent, .. } = prepared;
    let number = decision.committed.number.0;
    let row = encoding::encode(&NumberRow { number })?;
    let by_name = Ordered::created(hub, name);
    let moved = before.is_none_or(|before| before.created != head.created);
    if moved {
        if let Some(before) = before {
            decision.remove(by_name.row(before.created, id));
        }
        decision.write(by_name.row(head.created, id), row.clone());
    }
    if moved || before.and_then(|before| before.class) != head.class {
        if let Some((class, at)) = before.and_then(|before| Some((before.class?, before.created))) {
            decision.remove(Ordered::status(hub, class).row(at, id));
        }
        if let Some(class) = head.class {
            decision.write(Ordered::status(hub, class).row(head.created, id), row);
        }
    }
    if let (None, Some(parent)) = (before, parent) {
        decision.write(keys::child(hub, parent, number), Vec::new());
    }
    if before.is_none_or(|before| before.status != head.status) {
        let key = keys::count(hub, name);
        decision.counted.statuses.extend(before.map(|before| (key.clone(), before.status, -1)));
        decision.counted.statuses.push((key, head.status, 1));
    }
    Ok(())
}

/// The same for an instance that goes.
pub(super) fn removed(head: &Head, record: &InstanceRecord, decision: &mut Decision) {
    let InstanceRecord { hub, id, name, .. } = record;
    decision.remove(Ordered::created(hub, name).row(head.created, id));
    if let Some(class) = head.class {
        decision.remove(Ordered::status(hub, class).row(head.created, id));
    }
    if let Some(parent) = &record.parent_instance_id {
        decision.remove(keys::child(hub, parent, record.number.0));
    }
    decision.counted.statuses.push((keys::count(hub, name), head.status, -1));
}
