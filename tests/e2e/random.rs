//! Random programs: whatever dies or is dropped in between, they come to the same end.
//!
//! `DURAWASM_RANDOM_CASES` is how many programs are tried, `DURAWASM_RANDOM_SEED` the seed of the first; each further one
//! has the next seed. A failure names its seed.

use std::time::Duration;

use durawasm_tests::world::without_ids;
use durawasm_tests::{World, guests};
use serde_json::{Value, json};

use crate::scenario::ROOT;

/// Programs of an ordinary run of the tests.
const CASES: u64 = 200;
/// Moments of a program at most: none needs nearly as many.
const MOMENTS: usize = 500;

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A program being put together. All timers have a time of their own, so that the order of what happens at different
/// times is forced; what happens at one time may come in any order, and no output depends on that.
struct Programmer {
    random: Random,
    steps: u64,
    names: u32,
    /// Events that the test raises: the name, and the second from which on.
    raised: Vec<(String, u64)>,
    rounds: u64,
}

/// Where a step stands.
#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    /// In the root itself, so that its events have an address.
    in_root: bool,
    /// One thing at a time happens in its instance.
    alone: bool,
}

impl Programmer {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let rounds = [0, 0, 1, 2][usize::try_from(random.below(4)).unwrap()];
        Self { random, steps: 0, names: 0, raised: Vec::new(), rounds }
    }

    fn name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    /// Two timers never fire at the same time, wherever they begin: the times are far apart, and sums of them, too.
    fn seconds(&mut self) -> u64 {
        let name = u64::from(self.name());
        1 + self.random.below(50) * 1_000 + name
    }

    fn step(&mut self, place: Place) -> Value {
        self.steps += 1;
        let place = Place { depth: place.depth + 1, ..place };
        let leaf = place.depth > 4 || self.steps > 24;
        match self.random.below(if leaf { 7 } else { 14 }) {
            0 | 1 => json!({"echo": self.name()}),
            2 => {
                let attempts = 1 + self.random.below(3);
                json!({"catch": {"flaky": {"succeeds": 1 + self.random.below(3), "attempts": attempts}}})
            }
            3 => json!({"sleep": self.seconds()}),
            4 => self.event(place),
            5 if place.alone => json!({"status": {"at": self.name()}}),
            5 => json!({"echo": {"deep": [self.name()]}}),
            6 => json!({"giveUp": {"sleep": self.seconds()}}),
            7 | 8 => json!({"seq": self.some(place, 4)}),
            9 => json!({"all": self.some(Place { alone: false, ..place }, 4)}),
            10 => self.race(place),
            11 | 12 => self.child(place),
            _ => {
                let fails = json!({"fail": format!("failure {}", self.name())});
                let before = self.step(place);
                json!({"catch": {"seq": [before, fails]}})
            }
        }
    }

    fn some(&mut self, place: Place, most: u64) -> Vec<Value> {
        (0..=self.random.below(most)).map(|_| self.step(place)).collect()
    }

    /// A wait for an event that surely comes: raised by the test, sent by a child, or sent by the instance to itself.
    fn event(&mut self, place: Place) -> Value {
        let name = format!("event{}", self.name());
        let data = self.name();
        match self.random.below(3) {
            0 if place.in_root => {
                let from = self.random.below(20_000);
                self.raised.push((name.clone(), from));
                json!({"event": name})
            }
            1 => {
                let send = json!({"send": {"to": "{parent}", "name": name, "data": data}});
                json!({"seq": [{"start": {"label": name, "step": send}}, {"event": name}]})
            }
            _ => json!({"seq": [{"send": {"to": "{self}", "name": name, "data": data}}, {"event": name}]}),
        }
    }

    /// A race whose winner is certain: everything but one contender waits longer.
    fn race(&mut self, place: Place) -> Value {
        let place = Place { alone: false, ..place };
        let quick = json!({"echo": self.name()});
        let slow = self.random.below(3);
        let mut contenders: Vec<Value> = (0..slow)
            .map(|_| match self.random.below(3) {
                0 => json!({"event": format!("never{}", self.name())}),
                1 => json!({"seq": [{"sleep": self.seconds()}, self.step(place)]}),
                _ => json!({"child": {"step":
                    {"seq": [{"sleep": self.seconds()}, {"echo": 0}]}}}),
            })
            .collect();
        let at = usize::try_from(self.random.below(slow + 1)).unwrap();
        contenders.insert(at, quick);
        json!({"any": contenders})
    }

    fn child(&mut self, place: Place) -> Value {
        let step = self.step(Place { in_root: false, alone: true, ..place });
        let mut child = json!({"step": step, "rounds": self.random.below(2)});
        if self.random.below(2) == 0 {
            child["label"] = json!(format!("child{}", self.name()));
        }
        if self.random.below(4) == 0 {
            child["attempts"] = json!(2);
            child["step"] = json!({"seq": [child["step"], {"fail": "the child fails"}]});
            return json!({"catch": {"child": child}});
        }
        json!({"child": child})
    }
}

/// A program with what is raised on it.
pub(crate) struct Case {
    seed: u64,
    input: Value,
    raised: Vec<(String, u64)>,
    rounds: u64,
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        let mut programmer = Programmer::new(seed);
        let place = Place { depth: 0, in_root: true, alone: true };
        let step = json!({"seq": programmer.some(place, 5)});
        let mut raised = programmer.raised;
        raised.sort_by_key(|(_, from)| *from);
        Self { seed, input: json!({"step": step, "rounds": programmer.rounds}), raised, rounds: programmer.rounds }
    }

    /// Runs it to its end; what must be the same in all runs.
    pub(crate) async fn run(&self, mut world: World) -> Value {
        world.start("Program", ROOT, &self.input).await;
        world.settle().await;
        let begin = world.clock.now();
        let mut raised = self.raised.as_slice();
        for _ in 0..MOMENTS {
            let next_event = raised.first().map(|(_, from)| begin + Duration::from_secs(*from));
            let next_timer = world.store.next_timer().await;
            match (next_event, next_timer) {
                (Some(event), timer) if timer.is_none_or(|timer| event <= timer) => {
                    world.move_to(event).await;
                    // Once for each time the program runs.
                    for _ in 0..=self.rounds {
                        let path = format!("root/raiseEvent/{}", raised[0].0);
                        let code = world.post(&path, "\"raised\"").await;
                        assert!(code == 202 || code == 410, "seed {}: {code}", self.seed);
                        world.settle().await;
                    }
                    raised = &raised[1..];
                }
                (_, Some(timer)) => world.move_to(timer).await,
                (_, None) => break,
            }
        }
        let status = world.status(ROOT).await;
        let ended = ["Completed", "Failed"].contains(&status["runtimeStatus"].as_str().unwrap_or_default());
        assert!(ended, "seed {}: it waits for ever: {status}\n{}", self.seed, self.input);
        essence(&status)
    }

    async fn check(&self) {
        let flow = || ("flow", guests::guest("flow"));
        let new = |lives: Vec<usize>| async move {
            let (app, component) = flow();
            World::new(app, component, &lives).await
        };
        let undisturbed = new(vec![]).await;
        let store = undisturbed.store.clone();
        let expected = self.run(undisturbed).await;
        let mut random = Random(self.seed ^ 0x5eed);
        let writes = u64::try_from(store.writes()).unwrap();
        // From the first write to beyond the last one, so that every host but the last may die anywhere.
        let lives = (0..1 + random.below(4)).map(|_| usize::try_from(random.below(writes + 1)).unwrap()).collect();
        let evict = usize::try_from(1 + random.below(3)).unwrap();
        let (app, component) = flow();
        let disturbed =
            if random.below(2) == 0 { new(lives).await } else { World::ahead(app, component, &lives).await };
        let disturbed = self.run(disturbed.evicting(evict)).await;
        assert_eq!(disturbed, expected, "seed {} comes to another end: {}", self.seed, self.input);
    }
}

/// What must be the same in all runs: the end, and what happened, each event with its times; at one time in any order.
fn essence(status: &Value) -> Value {
    let events = status["historyEvents"].as_array().cloned().unwrap_or_default();
    let mut events: Vec<String> = events.iter().map(|event| without_ids(event).to_string()).collect();
    events.sort_unstable();
    let end = json!([status["runtimeStatus"], status["output"], status["customStatus"], status["input"]]);
    json!({"end": without_ids(&end), "lastUpdated": status["lastUpdatedTime"], "events": events})
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_come_to_the_same_end_whatever_dies() {
    let cases = setting("DURAWASM_RANDOM_CASES").unwrap_or(CASES);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let first = setting("DURAWASM_RANDOM_SEED").unwrap_or(now.as_secs());
    println!("DURAWASM_RANDOM_SEED={first} DURAWASM_RANDOM_CASES={cases}");
    // Two at a time: they mostly wait for each other's locks otherwise.
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..2 {
        workers.spawn(async move {
            for case in (worker..cases).step_by(2) {
                let seed = first.wrapping_add(case);
                let checked = tokio::spawn(async move { Case::new(seed).check().await }).await;
                assert!(checked.is_ok(), "seed {seed}: {checked:?}");
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
}
