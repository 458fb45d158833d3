//! Fuel: the same in every run of an execution, recorded with its episodes, and charged once.

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::{EventKind, Fuel, HistoryEvent};
use durawasm_host::engine::{Parts, Settings, system_clock, verdict};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, HubName};
use durawasm_host::wasm::{Config, WasmExecutor};
use durawasm_tests::host::{egress, executor};
use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::golden::{another, record_in, recordings, replay};

/// What the code had used, with the positions of the events that say so.
fn recorded(history: &[HistoryEvent]) -> Vec<(usize, Fuel)> {
    let fuel = history.iter().enumerate().filter_map(|(position, event)| match event.kind {
        EventKind::EpisodeCompleted { fuel, .. } | EventKind::OrchestratorReturned { fuel, .. } => {
            Some((position, fuel?))
        }
        _ => None,
    });
    fuel.collect()
}

async fn history(host: &Host, id: &str) -> Vec<HistoryEvent> {
    let parts = Parts { payloads: false, history: true };
    host.engine.instance(&HubName::from("default"), id, parts).await.unwrap().unwrap().history
}

async fn flow() -> AppVersion {
    executor().admit(guests::guest("flow")).await.unwrap()
}

/// Live, dropped all the while, replayed cold at each wait, and checked: a difference is a divergence with its position.
#[tokio::test(flavor = "multi_thread")]
async fn every_capability_uses_the_same_fuel_in_every_run() {
    let version = flow().await;
    for recording in recordings() {
        for evict_every in [0, 1] {
            let world = World::new("flow", guests::guest("flow"), &[]).await.evicting(evict_every);
            let history = record_in(world, &recording).await;
            let name = recording.0;
            let fuel = recorded(&history);
            let waits = history.iter().filter(|event| matches!(event.kind, EventKind::EpisodeCompleted { .. })).count();
            assert!(!fuel.is_empty() && fuel.len() + 1 >= waits, "{name}: {history:#?}");
            if name != "moved" && !name.starts_with("rewind") {
                assert!(fuel.is_sorted_by_key(|(_, fuel)| fuel.total), "{name}: {fuel:?}");
            }
            for (position, event) in history.iter().enumerate() {
                let part = &history[..=position];
                match event.kind {
                    EventKind::EpisodeCompleted { .. } if evict_every == 0 => {
                        assert_eq!(replay(part, version.digest).await, Ok(Vec::new()), "{name} up to {position}");
                    }
                    EventKind::ExecutionCompleted { .. } => {
                        assert_eq!(verdict::check(&*executor(), &version, part).await.unwrap(), Ok(()), "{name}");
                    }
                    _ => {}
                }
            }
        }
    }
}

fn set_fuel(event: &mut HistoryEvent, change: impl Fn(&mut Fuel)) {
    match &mut event.kind {
        EventKind::EpisodeCompleted { fuel: Some(fuel), .. }
        | EventKind::OrchestratorReturned { fuel: Some(fuel), .. } => {
            change(fuel);
        }
        other => panic!("{other:?} says nothing of fuel"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_fuel_is_a_divergence_with_its_position_unless_the_code_is_another() {
    let host = Host::new().await;
    host.deploy("flow", guests::guest("flow")).await;
    let id = host.start("Sequence", json!([1, 2, 3])).await;
    host.ended(&id).await;
    let history = history(&host, &id).await;
    let version = flow().await;
    let fuel = recorded(&history);
    assert_eq!(fuel.len(), 4, "{history:#?}");
    for (position, was) in fuel {
        let mut changed = history.clone();
        set_fuel(&mut changed[position], |fuel| fuel.total += 1);
        let divergence = verdict::check(&*executor(), &version, &changed).await.unwrap().unwrap_err();
        assert_eq!(divergence.position, position, "{divergence}");
        assert!(divergence.expected.contains(&(was.total + 1).to_string()), "{divergence}");
        assert!(divergence.found.contains(&was.total.to_string()), "{divergence}");
        if matches!(changed[position].kind, EventKind::EpisodeCompleted { .. }) {
            let fault = replay(&changed[..=position], version.digest).await.unwrap_err();
            assert!(fault.contains(&format!("at history event {position} ")), "{fault}");
        }
        set_fuel(&mut changed[position], |fuel| fuel.code ^= 1);
        assert_eq!(
            verdict::check(&*executor(), &version, &changed).await.unwrap(),
            Ok(()),
            "counted by another engine"
        );
    }
    let other = executor().admit(another("flow")).await.unwrap();
    assert_ne!(other.digest, version.digest);
    assert_eq!(verdict::check(&*executor(), &other, &history).await.unwrap(), Ok(()));
}

/// A host whose orchestrators have this much fuel for an episode, and which keeps no guest in memory.
async fn frugal(episode_fuel: u64, folder: &tempfile::TempDir) -> Host {
    let mut config = Config::new(folder.path().join("components"), egress(&[], None));
    config.limits.episode_fuel = episode_fuel;
    config.limits.concurrent_guests = 200;
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    let executor = Arc::new(WasmExecutor::new(config).unwrap());
    Host::running(Arc::new(MemoryStore::default()), executor, (settings, system_clock())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_costs_more_than_an_episode_may_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let items: Vec<u32> = (0..40).collect();
    let generous = frugal(u64::MAX, &folder).await;
    generous.deploy("flow", guests::guest("flow")).await;
    let id = generous.start("Sequence", json!(items)).await;
    assert_eq!(generous.ended(&id).await["output"], json!(items));
    let totals: Vec<u64> = recorded(&history(&generous, &id).await).iter().map(|(_, fuel)| fuel.total).collect();
    let episodes = [0].iter().chain(&totals).zip(&totals).map(|(before, after)| after - before);
    let (all, most) = (*totals.last().unwrap(), episodes.max().unwrap());
    assert!(all > 3 * most, "{totals:?}");
    drop(generous);

    let host = frugal(most + most / 4, &folder).await;
    host.deploy("flow", guests::guest("flow")).await;
    let status = host.run("Sequence", json!(items)).await;
    assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Completed"), &json!(items)), "{status}");
    drop(host);

    let host = frugal(most / 2, &folder).await;
    host.deploy("flow", guests::guest("flow")).await;
    let status = host.run("Sequence", json!(items)).await;
    assert_eq!(status["runtimeStatus"], "Failed", "{status}");
    assert!(status["output"].as_str().unwrap().contains("units of fuel"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_stops_being_served_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let host = frugal(10_000_000, &folder).await;
    host.deploy("hostile", guests::guest("hostile")).await;
    let ended = tokio::time::timeout(Duration::from_secs(120), host.run("ServedForever", Value::Null)).await;
    let status = ended.expect("it is stopped");
    assert_eq!(status["runtimeStatus"], "Failed", "{status}");
    assert!(status["output"].as_str().unwrap().contains("units of fuel"), "{status}");
    let metrics = host.send("GET", "/metrics", "").await.text();
    assert!(metrics.contains(r#"durawasm_guests_stopped_total{role="orchestrator",limit="fuel"} 1"#), "{metrics}");
    let used = metrics.lines().find_map(|line| line.strip_prefix(r#"durawasm_fuel_total{role="orchestrator"} "#));
    assert!(used.unwrap().parse::<u64>().unwrap() >= 10_000_000, "{used:?}");
}
