//! Records of hubs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};

use super::{Time, corrupt, decode, encode};
use crate::store::{
    HubConfig, HubLimits, HubRecord, HubState, Keep, KeyHash, KeyId, KeyRecord, KeyScope, Secret, StoreError,
};

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct HubRow<'a> {
    #[b(0)]
    name: &'a str,
    #[n(1)]
    generation: u32,
    #[n(2)]
    created: Option<Time>,
    #[cbor(b(3), with = "minicbor::bytes")]
    salt: &'a [u8],
    #[n(4)]
    state: u8,
    #[b(5)]
    config: ConfigRow<'a>,
    #[n(6)]
    config_version: u32,
    #[b(7)]
    keys: Vec<KeyRow<'a>>,
}

const OPEN: u8 = 1;
const DELETING: u8 = 2;

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct ConfigRow<'a> {
    #[b(0)]
    env: BTreeMap<&'a str, &'a str>,
    #[b(1)]
    secrets: BTreeMap<&'a str, &'a str>,
    #[b(2)]
    egress: Vec<&'a str>,
    #[n(3)]
    limits: LimitsRow,
    /// Milliseconds; 0: for ever; none: not said.
    #[n(4)]
    retention: Option<u64>,
    #[b(5)]
    route_prefix: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct LimitsRow {
    #[n(0)]
    open_instances: Option<u64>,
    #[n(1)]
    starts_per_second: Option<u64>,
    #[n(2)]
    requests_per_second: Option<u64>,
    #[n(3)]
    apps: Option<u64>,
    #[n(4)]
    component_bytes: Option<u64>,
    #[n(5)]
    concurrent_activities: Option<u64>,
    #[n(6)]
    stored_bytes: Option<u64>,
    #[n(7)]
    fuel_per_second: Option<u64>,
    #[n(8)]
    memory_bytes: Option<u64>,
    #[n(9)]
    connections_per_second: Option<u64>,
    #[n(10)]
    egress_bytes_per_second: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct KeyRow<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    id: &'a [u8],
    #[b(1)]
    name: &'a str,
    #[b(2)]
    scopes: Vec<ScopeRow<'a>>,
    #[n(3)]
    created: Time,
    #[n(4)]
    rotated: Option<Time>,
    #[n(5)]
    generation: u32,
    #[b(6)]
    hash: HashRow<'a>,
    #[b(7)]
    previous: Option<HashRow<'a>>,
    #[n(8)]
    previous_until: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct ScopeRow<'a> {
    #[n(0)]
    kind: u8,
    #[b(1)]
    function: Option<&'a str>,
}

const MANAGE: u8 = 1;
const DEPLOY: u8 = 2;
const READ: u8 = 3;
const FUNCTION: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct HashRow<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    salt: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    hash: &'a [u8],
}

/// The record as bytes.
pub(in crate::store::sled) fn encode_hub(hub: &HubRecord) -> Result<Vec<u8>, StoreError> {
    encode(&HubRow {
        name: &hub.name,
        generation: hub.generation,
        created: hub.created.map(Time),
        salt: &hub.salt,
        state: match hub.state {
            HubState::Open => OPEN,
            HubState::Deleting => DELETING,
        },
        config: ConfigRow::new(&hub.config),
        config_version: hub.config_version,
        keys: hub.keys.iter().map(KeyRow::new).collect(),
    })
}

/// The record of these bytes.
pub(in crate::store::sled) fn decode_hub(bytes: &[u8]) -> Result<HubRecord, StoreError> {
    let row: HubRow<'_> = decode(bytes, "the record of a hub")?;
    Ok(HubRecord {
        name: Arc::from(row.name),
        generation: row.generation,
        created: row.created.map(|at| at.0),
        salt: sized(row.salt, "the salt of a hub")?,
        state: match row.state {
            OPEN => HubState::Open,
            DELETING => HubState::Deleting,
            unknown => return Err(corrupt(format!("state {unknown} of a hub is unknown"))),
        },
        config: row.config.load(),
        config_version: row.config_version,
        keys: row.keys.iter().map(KeyRow::load).collect::<Result<_, _>>()?,
    })
}

impl<'a> ConfigRow<'a> {
    fn new(config: &'a HubConfig) -> Self {
        let HubLimits {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        } = config.limits;
        let limits = LimitsRow {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        };
        Self {
            env: config.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            secrets: config.secrets.iter().map(|(name, value)| (name.as_str(), value.0.as_str())).collect(),
            egress: config.egress.iter().map(String::as_str).collect(),
            limits,
            retention: config.retention.map(|keep| match keep {
                Keep::Forever => 0,
                Keep::For(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1),
            }),
            route_prefix: config.route_prefix.as_deref(),
        }
    }

    fn load(&self) -> HubConfig {
        let LimitsRow {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        } = self.limits;
        let limits = HubLimits {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        };
        HubConfig {
            env: self.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            secrets: self
                .secrets
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Secret((*value).to_owned())))
                .collect(),
            egress: self.egress.iter().map(|rule| (*rule).to_owned()).collect(),
            limits,
            retention: self.retention.map(|milliseconds| match milliseconds {
                0 => Keep::Forever,
                _ => Keep::For(Duration::from_millis(milliseconds)),
            }),
            route_prefix: self.route_prefix.map(str::to_owned),
        }
    }
}

impl<'a> KeyRow<'a> {
    fn new(key: &'a KeyRecord) -> Self {
        Self {
            id: &key.id.0,
            name: &key.name,
            scopes: key.scopes.iter().map(ScopeRow::new).collect(),
            created: Time(key.created),
            rotated: key.rotated.map(Time),
            generation: key.generation,
            hash: HashRow::new(&key.hash),
            previous: key.previous.as_ref().map(|(hash, _)| HashRow::new(hash)),
            previous_until: key.previous.as_ref().map(|(_, until)| Time(*until)),
        }
    }

    fn load(&self) -> Result<KeyRecord, StoreError> {
        let previous = match (self.previous, self.previous_until) {
            (Some(hash), Some(until)) => Some((hash.load()?, until.0)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(corrupt("a rotated key lacks its hash or its end")),
        };
        Ok(KeyRecord {
            id: KeyId(sized(self.id, "the id of a key")?),
            name: self.name.to_owned(),
            scopes: self.scopes.iter().map(ScopeRow::load).collect::<Result<_, _>>()?,
            created: self.created.0,
            rotated: self.rotated.map(|at| at.0),
            generation: self.generation,
            hash: self.hash.load()?,
            previous,
        })
    }
}

impl<'a> ScopeRow<'a> {
    fn new(scope: &'a KeyScope) -> Self {
        match scope {
            KeyScope::Manage => Self { kind: MANAGE, function: None },
            KeyScope::Deploy => Self { kind: DEPLOY, function: None },
            KeyScope::Read => Self { kind: READ, function: None },
            KeyScope::Function(name) => Self { kind: FUNCTION, function: Some(name) },
        }
    }

    fn load(&self) -> Result<KeyScope, StoreError> {
        match (self.kind, self.function) {
            (MANAGE, None) => Ok(KeyScope::Manage),
            (DEPLOY, None) => Ok(KeyScope::Deploy),
            (READ, None) => Ok(KeyScope::Read),
            (FUNCTION, Some(name)) => Ok(KeyScope::Function(name.to_owned())),
            // Unknown is no reason to open anything, nor to lose what it opens.
            (unknown, _) => Err(corrupt(format!("scope {unknown} of a key is unknown"))),
        }
    }
}

impl<'a> HashRow<'a> {
    fn new(hash: &'a KeyHash) -> Self {
        Self { salt: &hash.salt, hash: &hash.hash }
    }

    fn load(&self) -> Result<KeyHash, StoreError> {
        Ok(KeyHash { salt: sized(self.salt, "the salt of a key")?, hash: sized(self.hash, "the hash of a key")? })
    }
}

fn sized<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| corrupt(format!("{what} must have {N} bytes")))
}
