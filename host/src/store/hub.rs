//! Task hubs as they are stored: what each is configured to, and who has keys of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use durawasm_core::Timestamp;

use super::HubName;

/// A task hub: a tenant with its own apps, instances, keys and configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct HubRecord {
    /// Its name.
    pub name: HubName,
    /// Counts the changes of this record, from 1; 0: there is no row yet.
    pub generation: u32,
    /// When it was created; none: it is older than records of hubs.
    pub created: Option<Timestamp>,
    /// Tells it from an earlier hub of the same name; all zero for hubs that are older than records of hubs.
    pub salt: [u8; 16],
    /// Whether it is there to be used.
    pub state: HubState,
    /// What it is configured to.
    pub config: HubConfig,
    /// Counts the changes of `config`, from 0.
    pub config_version: u32,
    /// Its keys, oldest first.
    pub keys: Vec<KeyRecord>,
}

impl HubRecord {
    /// A hub that is configured to nothing and has no keys.
    #[must_use]
    pub fn new(name: HubName, created: Option<Timestamp>, salt: [u8; 16]) -> Self {
        Self {
            name,
            generation: 0,
            created,
            salt,
            state: HubState::Open,
            config: HubConfig::default(),
            config_version: 0,
            keys: Vec::new(),
        }
    }
}

/// Whether a hub is there to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubState {
    /// It is.
    Open,
    /// It takes nothing any more; what it has is being removed.
    Deleting,
}

/// What a hub is configured to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubConfig {
    /// Environment variables of activities and client functions.
    pub env: BTreeMap<String, String>,
    /// The same, whose values are never shown.
    pub secrets: BTreeMap<String, Secret>,
    /// Where guests may connect to: one rule each.
    pub egress: Vec<String>,
    /// What it may use.
    pub limits: HubLimits,
    /// How long ended instances are kept; none: as the server says.
    pub retention: Option<Keep>,
    /// What the paths of its HTTP functions begin with, without slashes at its ends; none: as the server says.
    pub route_prefix: Option<String>,
}

/// A value that no log and no answer shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How long ended instances are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody purges them.
    Forever,
    /// As long as this.
    For(Duration),
}

/// What a hub may use; none: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubLimits {
    /// Instances that have not ended.
    pub open_instances: Option<u64>,
    /// Starts from outside and by clients, per second.
    pub starts_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
    /// Apps.
    pub apps: Option<u64>,
    /// Bytes of the components of all versions together.
    pub component_bytes: Option<u64>,
    /// Activities that run at once; more wait.
    pub concurrent_activities: Option<u64>,
    /// Bytes of histories, inputs, outputs and custom statuses. Over it nothing new is taken in from outside.
    pub stored_bytes: Option<u64>,
    /// What its guests may run per second, in units of fuel. Over it nothing new is begun from outside.
    pub fuel_per_second: Option<u64>,
    /// Bytes of memory of all its guests at once, those that wait in memory included.
    pub memory_bytes: Option<u64>,
    /// Connections to the outside per second.
    pub connections_per_second: Option<u64>,
    /// Bytes sent to the outside and received from it, per second. Over it connections wait.
    pub egress_bytes_per_second: Option<u64>,
}

/// Which key: part of its text, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key of a hub. The key itself is not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRecord {
    /// Which.
    pub id: KeyId,
    /// What its owner calls it; no two keys of a hub have one name.
    pub name: String,
    /// What it opens.
    pub scopes: Vec<KeyScope>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was rotated last.
    pub rotated: Option<Timestamp>,
    /// Counts its rotations, from 0.
    pub generation: u32,
    /// Recognises it.
    pub hash: KeyHash,
    /// Recognises what it was before it was rotated, until this time.
    pub previous: Option<(KeyHash, Timestamp)>,
}

/// What a key opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyScope {
    /// Starting and managing instances, and all that [`KeyScope::Read`] opens.
    Manage,
    /// Deploying and removing apps.
    Deploy,
    /// Looking at instances and apps.
    Read,
    /// Requests to this HTTP function.
    Function(String),
}

/// A salted hash of a key. Keys are 256 random bits, which nobody can guess: the hash need not be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// Random.
    pub salt: [u8; 16],
    /// SHA-256 of salt and key.
    pub hash: [u8; 32],
}
