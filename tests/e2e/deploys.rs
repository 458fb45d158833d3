//! Deployments that are cut short, and those that meet: an app is at the version before or the one after, and every
//! instance ends on its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::store::{SharedStore, Store as _};
use durawasm_tests::{DyingStore, Host, guests};
use serde_json::{Value, json};

use crate::kills::{quiet, random, rounds};
use crate::program::{Program, port};

const APP: &str = "/admin/hubs/default/apps/app";
const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// Two versions of one app: both have `Waits`, which says which version it ran on, and timer functions of their own.
fn versions() -> [Bytes; 2] {
    [guests::guest("deploys-v1"), guests::guest("deploys-v2")]
}
