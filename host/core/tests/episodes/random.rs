//! Random programs, random completion orders, random crashes: the undisturbed run and the disturbed one must agree.

use durawasm_core::{AwaitedBy, Effect, Failure, GuestFault, Letter, Message, Outgoing, State};
use proptest::prelude::*;

use crate::harness::{Instance, Outcome};
use crate::program::Program;

/// A step of a random program; numbers pick among the tasks made so far.
fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x = activity Work".to_owned()),
        Just("x = activity Flaky retry 3 1000".to_owned()),
        Just("x = activity Broken".to_owned()),
        Just("x = child Other".to_owned()),
        Just("x = child FlakyChild retry 3 1000".to_owned()),
        Just("start Other".to_owned()),
        Just("send other Note 1".to_owned()),
        (1..20_i64).prop_map(|seconds| format!("x = timer {seconds}")),
        (0..3_u8).prop_map(|name| format!("x = event E{name}")),
        any::<u16>().prop_map(|pick| format!("cancel {pick}")),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| format!("any w {a} {b}")),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| format!("orfail w {a} {b}")),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| format!("all {a} {b}")),
        Just("guid".to_owned()),
        Just("now".to_owned()),
        Just("log here".to_owned()),
    ]
}

/// Makes the picks refer to tasks that exist and are not cancelled, so that programs make sense.
fn resolve(steps: &[String]) -> Program {
    let (mut made, mut lines) = (Vec::<u32>::new(), Vec::new());
    let mut count = 0;
    for step in steps {
        let words: Vec<&str> = step.split_whitespace().collect();
        let pick = |word: &str, made: &[u32]| -> Option<u32> {
            let index = usize::from(word.parse::<u16>().ok()?) % made.len().max(1);
            made.get(index).copied()
        };
        match words[..] {
            ["cancel", a] => {
                if let Some(task) = pick(a, &made) {
                    made.retain(|other| *other != task);
                    lines.push(format!("cancel {task}"));
                }
            }
            [verb @ ("any" | "orfail" | "all"), .., a, b] => {
                if let (Some(a), Some(b)) = (pick(a, &made), pick(b, &made)) {
                    lines.push(if verb == "all" { format!("all {a} {b}") } else { format!("any w {a} {b}") });
                    lines.extend((verb == "orfail").then(|| "failif w".to_owned()));
                }
            }
            [_, "=", ..] => {
                count += 1;
                made.push(count);
                lines.push(step.clone());
            }
            _ => lines.push(step.clone()),
        }
    }
    lines.push("return 1".to_owned());
    Program(lines)
}

/// What happens from outside: each number picks among what can happen then.
fn play(program: &Program, picks: &[u16], evicts: bool, crashes: bool) -> (Instance, Vec<String>) {
    let (mut instance, first) = Instance::start(program.clone(), evicts);
    let mut possible: Vec<Message> = Vec::new();
    let mut said = Vec::new();
    let mut note = |outcome: &Outcome, possible: &mut Vec<Message>| {
        said.extend(outcome.logs.iter().cloned());
        possible.extend(outcome.decision.effects.iter().filter_map(message_for));
    };
    note(&first, &mut possible);
    for (index, pick) in picks.iter().enumerate() {
        possible.push(Message::EventRaised { name: format!("e{}", pick % 3), input: Some("7".into()) });
        let message = possible.swap_remove(usize::from(*pick) % possible.len());
        instance.advance(i64::from(pick % 7));
        if crashes && index % 3 == 0 {
            instance.reload(None);
        }
        if pick % 2 == 0
            && let Some(rewound) = instance.rewind(None)
        {
            // Answers to the execution before it do not reach a rewound one.
            possible.retain(|message| matches!(message, Message::TimerDue { .. }));
            note(&rewound, &mut possible);
        }
        let outcome = instance.deliver(message);
        note(&outcome, &mut possible);
    }
    (instance, said)
}

fn message_for(effect: &Effect) -> Option<Message> {
    match effect {
        Effect::RunActivity(call) => {
            let fails = call.name == "Broken" || (call.name == "Flaky" && call.attempt < 3);
            let outcome = if fails { Err(Failure::new("E", "again")) } else { Ok(Some("2".into())) };
            Some(Message::ActivityEnded { task: call.task, attempt: call.attempt, outcome, heartbeat: None })
        }
        Effect::SetTimer { task, due } => Some(Message::TimerDue { task: *task, due: *due }),
        Effect::Send(Outgoing { letter: Letter::StartChild(start), .. }) => {
            let AwaitedBy { task, attempt, .. } = start.awaited_by.clone()?;
            let fails = start.name == "FlakyChild" && attempt < 3;
            let outcome = if fails { Err(Failure::new("E", "again")) } else { Ok(Some("3".into())) };
            Some(Message::ChildEnded { task, attempt, outcome })
        }
        Effect::Send(_) | Effect::ClearTimer { .. } | Effect::CancelActivity { .. } => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_evictions_never_show(
        steps in prop::collection::vec(step(), 1..25),
        picks in prop::collection::vec(any::<u16>(), 0..40),
    ) {
        let program = resolve(&steps);
        let (undisturbed, logs) = play(&program, &picks, false, false);
        prop_assert_eq!(&undisturbed.fault, &None);
        for (evicts, crashes) in [(true, false), (false, true)] {
            let (disturbed, other_logs) = play(&program, &picks, evicts, crashes);
            prop_assert_eq!(&disturbed.fault, &None, "program {:?}", program);
            prop_assert_eq!(&undisturbed.history, &disturbed.history, "program {:?}", program);
            prop_assert_eq!(&logs, &other_logs, "program {:?}", program);
            prop_assert_eq!(undisturbed.state(), disturbed.state());
        }
    }

    #[test]
    fn a_changed_call_that_was_recorded_is_found_out(
        steps in prop::collection::vec(step(), 2..25),
        picks in prop::collection::vec(any::<u16>(), 0..20),
    ) {
        let mut program = resolve(&steps);
        // One call that every run makes first, and so every replay must make again.
        program.0.insert(0, "x = activity First".to_owned());
        let mut program = Program(program.0.iter().map(|line| shifted(line)).collect());
        // It never ends, so that there is always something to replay.
        program.0.extend(["x = event Never".to_owned(), "any w x".to_owned()]);
        program.0.retain(|line| line != "return 1" && !line.starts_with("failif"));
        let (mut instance, _) = play(&program, &picks, false, false);
        prop_assert_eq!(instance.state(), State::Running);
        let before = instance.history.clone();
        let mut other = program.clone();
        other.0[0] = "x = activity Changed".to_owned();
        instance.reload(Some(other));
        instance.wake();
        let Some(GuestFault::NonDeterminism(found)) = &instance.fault else {
            return Err(TestCaseError::fail(format!("not found out: {program:?}")));
        };
        prop_assert_eq!((found.position, found.found.as_str()), (1, "call activity 'Changed'"));
        prop_assert_eq!(&instance.history[..before.len()], &before[..]);
    }
}

/// The same step when one more task was made before it.
fn shifted(line: &str) -> String {
    let shift = |word: &str| word.parse::<u32>().map_or(word.to_owned(), |task| (task + 1).to_string());
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["failif", name] => format!("failif {}", shift(name)),
        [verb @ ("cancel" | "any" | "all"), ref rest @ ..] => {
            [verb.to_owned()].into_iter().chain(rest.iter().map(|word| shift(word))).collect::<Vec<_>>().join(" ")
        }
        _ => line.to_owned(),
    }
}
