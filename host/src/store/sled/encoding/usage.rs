//! What hubs have used and store.

use minicbor::{Decode, Encode};

use super::{decode, encode};
use crate::store::{HubUsage, StoreError, Usage};

#[derive(Clone, Copy, Debug, Default, Encode, Decode)]
#[cbor(map)]
struct UsageRow {
    #[n(0)]
    stored_bytes: u64,
    #[n(1)]
    orchestrator_fuel: u64,
    #[n(2)]
    activity_fuel: u64,
    #[n(3)]
    function_fuel: u64,
    #[n(4)]
    activities: u64,
    #[n(5)]
    activity_time: u64,
    #[n(6)]
    functions: u64,
    #[n(7)]
    function_time: u64,
    #[n(8)]
    memory_time: u64,
    #[n(9)]
    requests: u64,
    #[n(10)]
    #[cbor(default)]
    connections: u64,
    #[n(11)]
    #[cbor(default)]
    egress_bytes: u64,
}

pub(in crate::store::sled) fn encode_usage(usage: &HubUsage) -> Result<Vec<u8>, StoreError> {
    let HubUsage { used, stored_bytes } = *usage;
    let Usage {
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
    } = used;
    encode(&UsageRow {
        stored_bytes,
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
    })
}

pub(in crate::store::sled) fn decode_usage(row: &[u8]) -> Result<HubUsage, StoreError> {
    let row: UsageRow = decode(row, "the usage of a hub")?;
    let used = Usage {
        orchestrator_fuel: row.orchestrator_fuel,
        activity_fuel: row.activity_fuel,
        function_fuel: row.function_fuel,
        activities: row.activities,
        activity_time: row.activity_time,
        functions: row.functions,
        function_time: row.function_time,
        memory_time: row.memory_time,
        requests: row.requests,
        connections: row.connections,
        egress_bytes: row.egress_bytes,
    };
    Ok(HubUsage { used, stored_bytes: row.stored_bytes })
}
