//! What every SDK must make of the same functions: the histories that Rust makes of them.
//!
//! Each language has an app with the functions of `flow`. The table is that of the golden histories.

use std::collections::BTreeSet;

use axum::body::Bytes;
use durawasm_host::store::portable;
use durawasm_tests::host::executor;
use durawasm_tests::world::without_ids;
use durawasm_tests::{World, guests};
use serde_json::Value;

use crate::golden::{self, Recording};
use crate::scenario::ROOT;

/// The golden histories, recorded with Rust, replay with an app of another language: it makes exactly the same calls in
/// the same order, whatever has been recorded, and ends in the same way. `except`: names with the reason.
pub(crate) async fn golden_histories_replay(component: Bytes, except: &[(&str, &str)]) {
    let digest = executor().admit(component).await.unwrap().digest;
    let mut replayed = 0;
    let mut wrongs = Vec::new();
    for (name, ..) in golden::recordings() {
        if excepted(name, except) {
            continue;
        }
        let path = golden::folder().join(format!("{name}.history"));
        let history = portable::decode_history(&std::fs::read(path).unwrap()).unwrap();
        let (before, recorded) = golden::before_the_last_episode(&history);
        match golden::replay(&before, digest).await {
            Ok(done) if done == recorded => replayed += 1,
            Ok(done) => wrongs.push(format!("{name} ends in another way: {done:#?} instead of {recorded:#?}")),
            Err(fault) => wrongs.push(format!("{name}: {fault}")),
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(replayed >= 25, "only {replayed} histories were replayed");
}

/// Run by the host, the guest dropped at each look, the app's instances look as Rust's do.
pub(crate) async fn histories_equal(component: Bytes, except: &[(&str, &str)]) {
    let mut wrongs = Vec::new();
    for recording in golden::recordings() {
        let name = recording.0;
        if excepted(name, except) {
            continue;
        }
        let expected = comparable(&play(guests::guest("flow"), &recording, &[], 0).await);
        let status = comparable(&play(component.clone(), &recording, &[], 1).await);
        compare(name, &status, &expected, &mut wrongs);
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

/// The host dies after each of its commits, and another one goes on: it comes to the same.
pub(crate) async fn survives_every_crash(component: Bytes, names: &[&str]) {
    for recording in golden::recordings() {
        if !names.contains(&recording.0) {
            continue;
        }
        let expected = comparable(&play(component.clone(), &recording, &[], 0).await);
        for lives in 0..64 {
            let (status, died) = play_dying(component.clone(), &recording, lives).await;
            assert_eq!(comparable(&status), expected, "{} died after {lives}", recording.0);
            if !died {
                break;
            }
            assert!(lives < 63, "{} has no end", recording.0);
        }
    }
}

fn excepted(name: &str, except: &[(&str, &str)]) -> bool {
    let known: BTreeSet<&str> = golden::recordings().into_iter().map(|recording| recording.0).collect();
    for (excepted, _) in except {
        assert!(known.contains(excepted), "there is no golden history {excepted}");
    }
    except.iter().any(|(excepted, _)| *excepted == name)
}

async fn play(component: Bytes, recording: &Recording, lives: &[usize], evict_every: usize) -> Value {
    let mut world = World::new("flow", component, lives).await.evicting(evict_every);
    play_in(&mut world, recording).await
}

async fn play_dying(component: Bytes, recording: &Recording, lives: usize) -> (Value, bool) {
    let mut world = World::new("flow", component, &[lives]).await;
    let status = play_in(&mut world, recording).await;
    (status, world.writes() > lives)
}

async fn play_in(world: &mut World, (_, function, input, acts): &Recording) -> Value {
    world.start(function, ROOT, input).await;
    for (path, body) in *acts {
        // An activity that only ends when it is told to never lets the world come to rest.
        if *function != "GivesUp" {
            world.settle().await;
        }
        if path.is_empty() {
            world.run_out().await;
        } else {
            assert_eq!(world.post(path, body).await, 202, "{path}");
        }
    }
    world.settle().await;
    world.status(ROOT).await
}

/// Names the places where two values differ.
fn compare(place: &str, found: &Value, expected: &Value, wrongs: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().for_each(|(name, value)| compare(&format!("{place}.{name}"), value, &other[name], wrongs));
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let both = one.iter().zip(other).enumerate();
            both.for_each(|(index, (one, other))| compare(&format!("{place}[{index}]"), one, other, wrongs));
        }
        (one, other) if one == other => {}
        (one, other) => wrongs.push(format!("{place}: {one} instead of {other}")),
    }
}

/// A status without what differs between languages and runs: ids, versions, stack traces, real times.
fn comparable(status: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // `Details` is the stack trace of a failure.
                for name in ["Details", "StackTrace", "Version", "version", "createdTime", "lastUpdatedTime"] {
                    fields.remove(name);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut status = without_ids(status);
    strip(&mut status);
    // Activities that run at the same time end in any order.
    if let Some(events) = status.get_mut("historyEvents").and_then(Value::as_array_mut) {
        let completed = |event: &Value| event["EventType"].as_str().is_some_and(|kind| kind.ends_with("Completed"));
        let at = |event: &Value| event["Timestamp"].clone();
        for together in events.chunk_by_mut(|one, other| completed(one) && completed(other) && at(one) == at(other)) {
            together.sort_by_cached_key(Value::to_string);
        }
    }
    status
}
