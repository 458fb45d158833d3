//! Records of hubs, and what goes with a hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use durawasm_core::{TaskId, Timestamp};

use super::{app, at, hub, payload, start};
use crate::store::{
    AppRecord, Commit, CommitError, HubConfig, HubLimits, HubRecord, HubState, Keep, KeyHash, KeyId, KeyRecord,
    KeyScope, Secret, Store, TimerRow,
};

fn full(name: &str) -> HubRecord {
    let key = |id: u8, scopes, previous| KeyRecord {
        id: KeyId([id; 8]),
        name: format!("key {id}"),
        scopes,
        created: at(1),
        rotated: (id == 1).then(|| at(2)),
        generation: u32::from(id),
        hash: KeyHash { salt: [id; 16], hash: [id; 32] },
        previous,
    };
    let texts = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let config = HubConfig {
        env: texts("A", "1"),
        secrets: BTreeMap::from([("B".to_owned(), Secret(payload(40_000).to_string()))]),
        egress: vec!["https://example.org".into(), "*".into()],
        limits: HubLimits {
            open_instances: Some(1),
            starts_per_second: Some(2),
            requests_per_second: Some(3),
            apps: Some(4),
            component_bytes: Some(5),
            concurrent_activities: Some(6),
            stored_bytes: Some(7),
            fuel_per_second: Some(8),
            memory_bytes: Some(1 << 30),
            connections_per_second: Some(9),
            egress_bytes_per_second: Some(10),
        },
        retention: Some(Keep::For(Duration::from_secs(60))),
        route_prefix: Some("v1".into()),
    };
    HubRecord {
        config,
        config_version: 7,
        state: HubState::Deleting,
        keys: vec![
            key(1, vec![KeyScope::Manage, KeyScope::Deploy], Some((KeyHash { salt: [8; 16], hash: [9; 32] }, at(3)))),
            key(2, vec![KeyScope::Read, KeyScope::Function("F".into())], None),
        ],
        ..HubRecord::new(Arc::from(name), Some(at(0)), [5; 16])
    }
}

fn plain(name: &str) -> HubRecord {
    let config = HubConfig { retention: Some(Keep::Forever), ..HubConfig::default() };
    HubRecord { config, ..HubRecord::new(Arc::from(name), None, [0; 16]) }
}

pub(in crate::store) async fn hubs_are_replaced_only_as_seen(store: Arc<dyn Store>) {
    assert_eq!(store.hubs().await.unwrap(), []);
    store.put_hub(full("tenant"), 0).await.unwrap();
    store.put_hub(plain("other"), 0).await.unwrap();
    assert!(matches!(store.put_hub(plain("tenant"), 0).await, Err(CommitError::Conflict)));
    assert!(matches!(store.put_hub(plain("third"), 1).await, Err(CommitError::Conflict)));
    let at = |generation, hub: HubRecord| HubRecord { generation, ..hub };
    let mut all = store.hubs().await.unwrap();
    all.sort_by(|one, two| one.name.cmp(&two.name));
    assert_eq!(all, [at(1, plain("other")), at(1, full("tenant"))]);
    store.put_hub(plain("tenant"), 1).await.unwrap();
    store.remove_hub(&Arc::from("other"), 1).await.unwrap();
    assert_eq!(store.hubs().await.unwrap(), [at(2, plain("tenant"))], "nothing is left of the large one");
    assert!(matches!(store.remove_hub(&Arc::from("tenant"), 1).await, Err(CommitError::Conflict)));
    store.put_hub(full("other"), 0).await.unwrap();
}

pub(in crate::store) async fn of_concurrent_changes_of_a_hub_one_wins(store: Arc<dyn Store>) {
    let changes = (0..20).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put_hub(plain("tenant"), 0).await })
    });
    let mut won = 0;
    for change in changes.collect::<Vec<_>>() {
        match change.await.unwrap() {
            Ok(()) => won += 1,
            Err(CommitError::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

pub(in crate::store) async fn apps_are_replaced_only_as_seen(store: Arc<dyn Store>) {
    store.put_app(app("b"), 0).await.unwrap();
    store.put_app(app("a"), 0).await.unwrap();
    assert!(matches!(store.put_app(app("a"), 0).await, Err(CommitError::Conflict)));
    assert!(matches!(store.put_app(app("c"), 1).await, Err(CommitError::Conflict)));
    let mut large = AppRecord { generation: 2, ..app("a") };
    large.versions[0].imports = (0..5000).map(|index| format!("import {index}")).collect();
    store.put_app(large.clone(), 1).await.unwrap();
    assert_eq!(store.apps().await.unwrap(), [large, app("b")]);
    let small = AppRecord { generation: 3, ..app("a") };
    store.put_app(small.clone(), 2).await.unwrap();
    assert_eq!(store.apps().await.unwrap(), [small, app("b")]);
}

pub(in crate::store) async fn apps_are_removed_only_as_seen(store: Arc<dyn Store>) {
    store.put_app(app("a"), 0).await.unwrap();
    store.put_app(app("ab"), 0).await.unwrap();
    assert!(matches!(store.remove_app(&hub(), "a", 2).await, Err(CommitError::Conflict)));
    store.remove_app(&hub(), "a", 1).await.unwrap();
    assert_eq!(store.apps().await.unwrap(), [app("ab")]);
    assert!(matches!(store.remove_app(&hub(), "a", 1).await, Err(CommitError::Conflict)));
    store.put_app(app("a"), 0).await.unwrap();
}

pub(in crate::store) async fn timers_of_purged_instances_are_forgotten(store: Arc<dyn Store>) {
    let timers = |from: u32| (from..from + 1_500).map(|task| (TaskId(task), at(i64::from(task)))).collect::<Vec<_>>();
    let gone = store.commit(Commit { timers_set: timers(0), ..start("gone") }).await.unwrap();
    let kept = store.commit(Commit { timers_set: timers(700), ..start("kept") }).await.unwrap();
    store.purge(gone.number, gone.revision).await.unwrap();
    let (mut after, mut calls) = (None, 0);
    loop {
        after = store.forget_timers(after).await.unwrap();
        calls += 1;
        if after.is_none() {
            break;
        }
    }
    assert!(calls <= 3, "{calls}");
    let left = store.timers(Timestamp::MAX, 5_000).await.unwrap();
    let of_kept = |(task, due)| TimerRow { due, number: kept.number, task };
    assert_eq!(left, timers(700).into_iter().map(of_kept).collect::<Vec<_>>());
}
