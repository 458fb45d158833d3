//! What hubs use and store is exact, whatever is written, replaced and removed.

use std::sync::Arc;

use durawasm_core::Status;

use super::{commit_of, completed, hub, next, payload, record, start};
use crate::store::{Commit, Expect, HubName, HubRecord, HubUsage, InstanceRecord, PayloadChanges, Store, Usage};

fn used(fuel: u64) -> Usage {
    Usage { orchestrator_fuel: fuel, activities: 1, activity_time: 2 * fuel, ..Usage::default() }
}

fn payloads(input: Option<usize>, output: Option<Option<usize>>) -> PayloadChanges {
    PayloadChanges {
        input: input.map(|bytes| Some(payload(bytes))),
        output: output.map(|output| output.map(payload)),
        custom_status: None,
    }
}

async fn stored(store: &dyn Store) -> u64 {
    store.usage(&hub()).await.unwrap().stored_bytes
}

pub(in crate::store) async fn usage_is_exact(store: Arc<dyn Store>) {
    let store = &*store;
    assert_eq!(store.usage(&hub()).await.unwrap(), HubUsage::default());
    let first = Commit { payloads: payloads(Some(3_000), None), usage: used(10), ..start("a") };
    let first = store.commit(Commit { events: vec![completed(1, 5)], ..first }).await.unwrap();
    let with_first = stored(store).await;
    assert!((3_005..3_200).contains(&with_first), "{with_first}");
    // A replaced payload counts once; history adds up, large or small.
    let second = Commit { payloads: payloads(Some(1_000), Some(Some(50_000))), usage: used(5), ..next("a", first) };
    let second = store.commit(Commit { events: vec![completed(2, 100_000)], ..second }).await.unwrap();
    let with_second = stored(store).await;
    assert!((151_005..151_400).contains(&with_second), "{with_second}");
    let refused = Commit { usage: used(1_000), payloads: payloads(Some(1), None), ..next("a", first) };
    store.commit(refused).await.unwrap_err();
    assert_eq!(stored(store).await, with_second, "what is refused is charged to nobody");
    // A fresh history takes the place of the one before; an output that goes counts no more.
    let third = Commit { fresh_history: true, payloads: payloads(None, Some(None)), ..next("a", second) };
    let third = store.commit(Commit { events: vec![completed(1, 7)], ..third }).await.unwrap();
    let with_third = stored(store).await;
    assert!((1_007..1_200).contains(&with_third), "{with_third}");
    let ended = InstanceRecord { status: Status::Completed, number: third.number, ..record("a") };
    let ended = store.commit(commit_of(Expect::Revision(third.revision), ended)).await.unwrap();
    assert_eq!(stored(store).await, with_third);
    // A start that replaces it, beside another one, together.
    let again = Commit { payloads: payloads(Some(10), None), usage: used(1), ..start("a") };
    let other = Commit { payloads: payloads(Some(20), None), usage: used(1), ..start("b") };
    let both = store.commit_all(vec![again, other]).await.unwrap();
    assert!(both[0].number != ended.number);
    assert_eq!(stored(store).await, 30);
    let more = Usage { requests: 7, connections: 2, egress_bytes: 5_000_000_000, ..Usage::default() };
    store.add_usage(&hub(), more).await.unwrap();
    let sum = Usage { orchestrator_fuel: 17, activities: 4, activity_time: 34, ..more };
    assert_eq!(store.usage(&hub()).await.unwrap(), HubUsage { used: sum, stored_bytes: 30 });
    let elsewhere: HubName = "elsewhere".into();
    assert_eq!(store.usage(&elsewhere).await.unwrap(), HubUsage::default());
    store.purge(both[0].number, both[0].revision).await.unwrap();
    assert_eq!(stored(store).await, 20);
    store.purge(both[1].number, both[1].revision).await.unwrap();
    assert_eq!(store.usage(&hub()).await.unwrap(), HubUsage { used: sum, stored_bytes: 0 });
    store.put_hub(HubRecord::new(hub(), None, [0; 16]), 0).await.unwrap();
    store.remove_hub(&hub(), 1).await.unwrap();
    assert_eq!(store.usage(&hub()).await.unwrap(), HubUsage::default(), "a later hub of the name begins anew");
}
