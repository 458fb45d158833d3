//! Other code on a recorded history. That a program repeats its own is asserted after every step of every test.

use durawasm_core::{Divergence, EventKind, Fuel, GuestFault, Message, Orchestration, Payload, TaskId};

use crate::harness::Instance;
use crate::program::{Program, Run};

fn program(text: &str) -> Program {
    Program(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

fn ended(task: u32) -> Message {
    let outcome = Ok(Some(Payload::from("1")));
    Message::ActivityEnded { task: TaskId(task), attempt: 1, outcome, heartbeat: None }
}

/// `a`, then `b`, then it waits for an event; with so many of these that have ended.
fn recorded(text: &str, messages: Vec<Message>) -> Instance {
    let (mut instance, _) = Instance::start(program(text), false);
    for message in messages {
        instance.deliver(message);
    }
    instance
}

const TWO: &str = "a = activity A\nany x a\nb = activity B\nany x b\ng = event Go\nany x g\nreturn $g";

fn verdict(instance: &Instance, text: &str) -> Result<(), (usize, String, String)> {
    instance.check(&program(text)).map_err(|Divergence { position, expected, found, failure }| {
        assert_eq!(failure, None);
        (position, expected, found)
    })
}

fn diverges(position: usize, expected: &str, found: &str) -> Result<(), (usize, String, String)> {
    Err((position, expected.to_owned(), found.to_owned()))
}

#[test]
fn code_that_does_other_things_only_after_the_record_is_compatible() {
    let later = "a = activity A\nany x a\nb = activity B\nany x b\nreturn 7";
    assert_eq!(verdict(&recorded(TWO, vec![]), later), Ok(()));
    assert_eq!(verdict(&recorded(TWO, vec![ended(1)]), later), Ok(()));
    // The third episode waits for the event already.
    let all = recorded(TWO, vec![ended(1), ended(2)]);
    assert_eq!(verdict(&all, later), diverges(7, "wait for event 'Go'", "return with 7"));
    let other_end = TWO.replace("return $g", "c = activity C\nany x c");
    assert_eq!(verdict(&all, &other_end), Ok(()));
}

#[test]
fn what_it_does_otherwise_is_found_with_its_place() {
    let one = recorded(TWO, vec![ended(1)]);
    let other = "a = activity A\nany x a\nb = activity C\nany x b";
    assert_eq!(verdict(&one, other), diverges(4, "call activity 'B'", "call activity 'C'"));
    let more = "a = activity A\nany x a\nb = activity B\nc = activity C\nany x b";
    assert_eq!(verdict(&one, more), diverges(6, "wait", "call activity 'C'"));
    let less = "a = activity A\nany x a\nany x a\nany x a";
    assert_eq!(verdict(&one, less), diverges(4, "call activity 'B'", "wait for task 1"));
    // The same calls in the same order: it does not matter that it makes one of them a wait earlier.
    assert_eq!(verdict(&one, "a = activity A\nb = activity B\nany x a\nany x b"), Ok(()));
}

#[test]
fn an_ended_history_is_checked_to_its_end() {
    let go = || Message::EventRaised { name: "Go".to_owned(), input: Some(Payload::from("1")) };
    let all = recorded(TWO, vec![ended(1), ended(2), go()]);
    assert_eq!(verdict(&all, TWO), Ok(()));
    let end = all.history.len() - 2;
    let other = TWO.replace("return $g", "return 2");
    assert_eq!(verdict(&all, &other), diverges(end, "return with 1", "return with 2"));
    let more = TWO.replace("return $g", "c = activity C\nany x c");
    assert_eq!(verdict(&all, &more), diverges(end, "return with 1", "call activity 'C'"));
    let waits = TWO.replace("return $g", "h = event Go\nany x h");
    assert_eq!(verdict(&all, &waits), diverges(end, "return with 1", "wait for event 'Go'"));
}

#[test]
fn a_pending_execution_may_go_on_with_any_code() {
    let special = crate::harness::Special { scheduled: Some(10), ..Default::default() };
    let (pending, _) = Instance::start_as(program(TWO), false, &special);
    assert_eq!(verdict(&pending, "return 1"), Ok(()));
}

#[test]
fn what_the_host_stopped_may_do_anything_afterwards() {
    let stopped = "a = activity A\nb = activity B\nany x a\nc = activity C\nall 99";
    let one = recorded(stopped, vec![ended(1)]);
    assert!(one.fault.is_some());
    // What it had asked for since its last wait is no part of its history.
    assert_eq!(verdict(&one, "a = activity A\nb = activity B\nany x a\nd = activity D\nany x d"), Ok(()));
    assert_eq!(verdict(&one, "a = activity A\nb = activity B\nany x a\nreturn 1"), Ok(()));
    let other = "a = activity A\nreturn 1";
    assert_eq!(verdict(&one, other), diverges(2, "call activity 'B'", "return with 1"));
}

#[test]
fn code_that_is_refused_where_the_record_goes_on_says_why() {
    let one = recorded(TWO, vec![ended(1)]);
    let divergence = one.check(&program("a = activity A\nany x a\ncancel 99")).unwrap_err();
    assert_eq!((divergence.position, divergence.expected.as_str()), (4, "call activity 'B'"));
    assert!(divergence.found.contains("task 99"), "{divergence}");
    assert!(divergence.failure.is_some_and(|failure| failure.non_retriable));
}

const BURNS: &str = "a = activity A\nany x a\nburn 5\nb = activity B\nany x b\nburn 5\nreturn $b";

#[test]
fn the_same_calls_after_other_instructions_are_found_with_their_place() {
    let waiting = recorded(BURNS, vec![ended(1)]);
    assert_eq!(verdict(&waiting, BURNS), Ok(()));
    let other = BURNS.replacen("burn 5", "burn 6", 1);
    let found = "do so with 10 used: it makes the same calls by other instructions, so something that it reads between them \
                 is not the same in each run";
    assert_eq!(verdict(&waiting, &other), diverges(5, "wait here with 9 units of fuel used", found));
    // Which calls it makes says more.
    let none = BURNS.replace("b = activity B", "burn 1");
    assert!(matches!(verdict(&waiting, &none), Err((4, expected, _)) if expected == "call activity 'B'"));

    let returned = recorded(BURNS, vec![ended(1), ended(2)]);
    assert_eq!(verdict(&returned, BURNS), Ok(()));
    let later = "a = activity A\nany x a\nburn 5\nb = activity B\nany x b\nburn 9\nreturn $b";
    let (position, expected, _) = verdict(&returned, later).unwrap_err();
    assert_eq!((position, expected.as_str()), (7, "return with 16 units of fuel used"));
}

#[test]
fn other_code_may_cost_what_it_likes() {
    let waiting = recorded(BURNS, vec![ended(1)]);
    assert_eq!(verdict(&waiting, "log other\na = activity A\nany x a\nb = activity B\nburn 77\nany x b"), Ok(()));
}

#[test]
fn a_replay_that_costs_something_else_stops_the_execution() {
    let mut waiting = recorded(BURNS, vec![ended(1)]);
    waiting.reload(Some(program(&BURNS.replacen("burn 5", "burn 4", 1))));
    waiting.deliver(ended(2));
    let Some(GuestFault::NonDeterminism(fault)) = &waiting.fault else { panic!("{:?}", waiting.fault) };
    assert_eq!((fault.position, fault.expected.as_str()), (5, "wait here with 9 units of fuel used"));
}

#[test]
fn only_what_is_new_is_charged() {
    let run = |orchestration: &mut Orchestration, total| {
        orchestration.spent(Fuel { total, code: 1 });
        orchestration.take_new_fuel()
    };
    let mut instance = recorded(BURNS, vec![ended(1)]);
    let history = std::mem::take(&mut instance.history);
    let mut replayed = Orchestration::replay(&history).unwrap();
    assert_eq!(run(&mut replayed, 3), 0, "it repeats the first episode");
    Run::default().go(&program(BURNS), &mut replayed, instance.now);
    assert_eq!(replayed.take_new_fuel(), 0, "it has come to where it waits");
    assert_eq!(run(&mut replayed, 30), 21);
    assert_eq!(replayed.take_new_fuel(), 0);
    let at_9 = history.iter().any(|event| {
        matches!(event.kind, EventKind::EpisodeCompleted { waits_served: 1, fuel: Some(Fuel { total: 9, .. }) })
    });
    assert!(at_9, "{history:#?}");
}
