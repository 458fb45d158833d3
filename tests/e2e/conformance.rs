//! What every SDK must make of the same functions: the histories that Rust makes of them.
//!
//! Each language has an app with the functions of `flow`. The table is that of the golden histories.

use std::collections::BTreeSet;

use axum::body::Bytes;
use durawasm_host::store::portable;
use durawasm_tests::host::executor;
use durawasm_tests::world::without_ids;
use durawasm_tests::{World, guests};
use serde_json::{Value, json};

use crate::golden::{self, Recording};
use crate::random::Case;
use crate::scenario::{Act, ROOT};

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
        let (name, .., acts) = &recording;
        // A move is the host's doing, and needs a second version.
        if excepted(name, except) || acts.iter().any(|(path, _)| path.starts_with("root/move")) {
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

/// The host dies once in each of the golden stories: each comes to what Rust comes to undisturbed.
pub(crate) async fn survives_a_crash(component: Bytes, except: &[(&str, &str)]) {
    let mut wrongs = Vec::new();
    let mut died = 0;
    for (index, recording) in golden::recordings().into_iter().enumerate() {
        let (name, function, _, acts) = &recording;
        // An activity that only ends when it is told to never lets the world come to rest; a move needs a second version.
        let is_restless = *function == "GivesUp" || acts.iter().any(|(path, _)| path.starts_with("root/move"));
        if excepted(name, except) || is_restless {
            continue;
        }
        let expected = comparable(&play(guests::guest("flow"), &recording, &[], 0).await);
        let (status, is_dead) = play_dying(component.clone(), &recording, 1 + index % 3).await;
        died += usize::from(is_dead);
        compare(&format!("{name}, after a crash"), &comparable(&status), &expected, &mut wrongs);
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(died >= 20, "only {died} hosts died");
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

/// How a story is told: by which app, and what goes wrong in it.
#[derive(Clone)]
enum Teller {
    Rust,
    Other(Bytes),
    /// The guest is dropped whenever it waits.
    Forgetful(Bytes),
}

/// One orchestration, with what happens to it from outside.
struct Story(&'static str, Value, Vec<Act>);

impl Story {
    async fn told(&self, by: Teller) -> Value {
        let Self(function, input, acts) = self;
        let component = match &by {
            Teller::Rust => guests::guest("flow"),
            Teller::Other(component) | Teller::Forgetful(component) => component.clone(),
        };
        // The Rust guest has one form of each.
        let function = if matches!(by, Teller::Rust) { function.trim_end_matches(" async") } else { function };
        let mut world = World::new("flow", component, &[]).await;
        if matches!(by, Teller::Forgetful(_)) {
            world = world.evicting(1);
        }
        world.start(&function.replace(' ', "%20"), ROOT, input).await;
        world.settle().await;
        for act in acts {
            match act {
                Act::Post(path, body, code) => assert_eq!(world.post(path, body).await, *code, "{function} {path}"),
                Act::NextTimer => assert!(world.next_moment().await, "{function}: there is no timer"),
                Act::RunOut => world.run_out().await,
                Act::Evict => world.host.engine.evict_all(),
            }
            world.settle().await;
        }
        comparable(&world.status(ROOT).await)
    }
}

/// A status without what two languages may say differently: where in the code something happened, which other functions
/// there are. What happened at one time may have come in any order.
fn comparable(status: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // The texts of a program as an input may have their fields in another order.
                let program =
                    ["FunctionName", "Name"].iter().any(|name| fields.get(*name).is_some_and(|name| name == "Program"));
                fields.retain(|name, _| name != "StackTrace" && name != "Details" && !(program && name == "Input"));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::String(text) => {
                *text = text.replace(" async", "");
                text.truncate(text.find("; its activities are").unwrap_or(text.len()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut status = without_ids(status);
    strip(&mut status);
    if let Some(events) = status.get_mut("historyEvents").and_then(Value::as_array_mut) {
        events.sort_by_cached_key(|event| (event["Timestamp"].to_string(), event.to_string()));
    }
    status
}

fn raise(path: &'static str, body: &'static str) -> Act {
    Act::Post(path, body, 202)
}

fn stories() -> Vec<Story> {
    let quiet = |function, input| Story(function, input, vec![]);
    let three = |name| (0..3).map(|_| raise(name, "1")).collect::<Vec<_>>();
    vec![
        quiet("Sequence", Value::Null),
        quiet("Sequence", json!(["a", {"b": [1.5, true, null, "ä\u{1f600}"]}, 3])),
        quiet("Sequence async", Value::Null),
        quiet("FanOut", json!(20)),
        quiet("FanOut async", json!(20)),
        quiet("FanOut", json!(300)),
        quiet("Race", json!([1_500, 1])),
        quiet("SelectAll", json!([1_800, 1, 900])),
        quiet("SelectAll async", json!([1_800, 1, 900])),
        quiet("Unheard", json!(5)),
        quiet("Parent", json!([2, 3])),
        quiet("FireAndForget", json!(3)),
        Story("Child", json!(0), vec![raise("root/raiseEvent/go", "7")]),
        Story("JoinMixed", Value::Null, vec![Act::RunOut]),
        Story("Custom", json!(3), three("root/raiseEvent/Next")),
        quiet("ContinueAsNew", json!([3, 0])),
        Story("Eternal", json!([true, 1]), vec![raise("root/raiseEvent/Add", "2"), raise("root/raiseEvent/Add", "0")]),
        quiet("SendEvent", json!(["nobody", "Hello", {"a": 1}])),
        Story("Chance", Value::Null, vec![Act::RunOut]),
        Story("TimersInOrder", json!([3000, 1000, 2000]), vec![Act::RunOut]),
        quiet("CanceledTimer", Value::Null),
        Story("Event", json!("Go"), vec![raise("root/raiseEvent/GO", "{\"x\":1}")]),
        Story("EventOrTimeout", json!(1000), vec![Act::RunOut]),
        Story("EventOrTimeout async", json!(1000), vec![Act::RunOut]),
        Story("EventOrTimeout", json!(1000), vec![raise("root/raiseEvent/approval", "\"yes\""), Act::RunOut]),
        Story("EventOrTimeout async", json!(1000), vec![raise("root/raiseEvent/approval", "\"yes\""), Act::RunOut]),
        Story("RaceLoop", json!(1000), vec![Act::NextTimer, Act::NextTimer, raise("root/raiseEvent/Tick", "5")]),
        Story("CollectEvents", json!(3), three("root/raiseEvent/item")),
        Story("TwoWaiters", Value::Null, vec![raise("root/raiseEvent/Item", "1"), raise("root/raiseEvent/Item", "2")]),
        Story(
            "Event",
            json!("Go"),
            vec![Act::Post("root/suspend?reason=x", "", 202), Act::Post("root/terminate?reason=y", "", 202)],
        ),
        quiet("ActivityFails", json!(true)),
        quiet("ActivityFails", Value::Null),
        quiet("Catches", Value::Null),
        quiet("ChildFails", Value::Null),
        quiet("UnknownActivity", Value::Null),
        quiet("ActivityTimesOut", json!([5000, 50])),
        Story("Retry", json!({"k": 3, "max_attempts": 5, "first_millis": 10, "backoff": 2.0}), vec![Act::RunOut]),
        Story("Retry", json!({"k": 9, "max_attempts": 2}), vec![Act::RunOut]),
        Story("ResumesHalfway", json!(3), vec![Act::RunOut]),
    ]
}

/// Each story comes to the same history as in Rust, undisturbed and with the guest dropped at every wait. Functions
/// that a language can write in two ways are there twice, one of them with ` async` behind its name.
pub(crate) async fn stories_are_those_of_rust(component: Bytes) {
    let mut wrongs = Vec::new();
    for story in stories() {
        let rust = story.told(Teller::Rust).await;
        for teller in [Teller::Other(component.clone()), Teller::Forgetful(component.clone())] {
            let how = if matches!(teller, Teller::Forgetful(_)) { ", dropped at every wait" } else { "" };
            compare(&format!("{} {}{how}", story.0, story.1), &story.told(teller).await, &rust, &mut wrongs);
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

/// Random programs end as in Rust, although hosts die along the way and guests are dropped.
pub(crate) async fn random_programs_are_those_of_rust(component: Bytes) {
    for seed in 0..25 {
        let case = Case::new(seed);
        let rust = case.run(World::new("flow", guests::guest("flow"), &[]).await).await;
        let lives = [usize::try_from(seed % 7).unwrap(), usize::try_from(seed % 5).unwrap()];
        let other = case.run(World::new("flow", component.clone(), &lives).await.evicting(2)).await;
        // Status, output and custom status; the input is a text that each language writes in its own order.
        for part in 0..3 {
            assert_eq!(other["end"][part], rust["end"][part], "seed {seed}");
        }
        assert_eq!(happened(&other), happened(&rust), "seed {seed}");
    }
}

/// The events of a random program's end, comparable between languages.
fn happened(end: &Value) -> Vec<String> {
    let texts = end["events"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let mut events: Vec<String> =
        texts.map(|text| comparable(&serde_json::from_str(text).unwrap()).to_string()).collect();
    events.sort_unstable();
    events
}
