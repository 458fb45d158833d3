//! Records of hubs, and the end of records of apps: each change replaces what its sender saw, or nothing.

use super::encoding;
use super::group::Touched;
use super::keys::{self, KeyRange};
use super::prepare::MAX_VALUE;
use super::read::{self, failed};
use super::rows::{Changes, Rows};
use crate::store::{CommitError, HubName, HubRecord, StoreError, TimerRow};

/// Rows of timers that one call looks at.
const TIMERS_EXAMINED: usize = 2_000;

/// A change, with the generation that its sender saw.
#[derive(Clone, Debug)]
pub(super) enum Setting {
    /// A hub's record is written.
    Hub(Box<HubRecord>, u32),
    /// A hub's record goes.
    NoHub(HubName, u32),
    /// An app's record goes.
    NoApp(HubName, String, u32),
}

impl Touched {
    /// Decides a change. None: it must wait for the next group.
    pub(super) fn set(&mut self, tree: &Rows, setting: &Setting) -> Result<Option<Changes>, CommitError> {
        let ((from, until), expected) = match setting {
            Setting::Hub(hub, expected) => (keys::hub_chunks(&hub.name), *expected),
            Setting::NoHub(name, expected) => (keys::hub_chunks(name), *expected),
            Setting::NoApp(hub, app, expected) => (keys::app_chunks(hub, app), *expected),
        };
        if self.has_key(&from) {
            return Ok(None);
        }
        let found = match setting {
            Setting::Hub(..) | Setting::NoHub(..) => hub(tree, &from)?.map(|hub| hub.generation),
            Setting::NoApp(..) => read::app(tree, &from)?.map(|app| app.generation),
        };
        if found.unwrap_or(0) != expected {
            return Err(CommitError::Conflict);
        }
        let mut changes = Changes::new();
        for key in tree.range(from.clone()..until).keys() {
            changes.push((key.map_err(failed)?.to_vec(), None));
        }
        if let Setting::Hub(hub, _) = setting {
            let generation = expected.saturating_add(1);
            let bytes = encoding::encode_hub(&HubRecord { generation, ..HubRecord::clone(hub) })?;
            for (chunk, part) in (0u32..).zip(bytes.chunks(MAX_VALUE)) {
                changes.push((keys::hub(&hub.name, chunk), Some(part.to_vec())));
            }
        }
        if let Setting::NoHub(name, _) = setting {
            changes.push((keys::usage(name), None));
        }
        self.keys.insert(from);
        Ok(Some(changes))
    }
}

/// All hubs that have a record.
pub(super) fn hubs(tree: &Rows) -> Result<Vec<HubRecord>, StoreError> {
    let (from, until) = keys::all_hubs();
    let mut prefixes: Vec<Vec<u8>> = Vec::new();
    for key in tree.range(from..until).keys() {
        let key = key.map_err(failed)?;
        let prefix = keys::record_of_chunk(&key);
        if prefixes.last().is_none_or(|last| last != prefix) {
            prefixes.push(prefix.to_vec());
        }
    }
    prefixes.iter().filter_map(|prefix| hub(tree, prefix).transpose()).collect()
}

fn hub(tree: &Rows, prefix: &[u8]) -> Result<Option<HubRecord>, StoreError> {
    let bytes = read::settled_bytes(tree, prefix)?;
    if bytes.is_empty() { Ok(None) } else { encoding::decode_hub(&bytes).map(Some) }
}

/// Timers of instances that are gone, of those after `after`, and how far they were looked at; none: to the end.
pub(super) fn stale_timers(
    tree: &Rows,
    after: Option<TimerRow>,
) -> Result<(Vec<TimerRow>, Option<TimerRow>), StoreError> {
    let (from, until): KeyRange = keys::timers_after(after);
    let mut stale = Vec::new();
    for (examined, key) in tree.range(from..until).keys().enumerate() {
        let timer = keys::timer_row(&key.map_err(failed)?)?;
        if !tree.contains_key(keys::instance(timer.number.0)).map_err(failed)? {
            stale.push(timer);
        }
        if examined + 1 >= TIMERS_EXAMINED {
            return Ok((stale, Some(timer)));
        }
    }
    Ok((stale, None))
}
