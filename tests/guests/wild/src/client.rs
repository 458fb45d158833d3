//! What an activity or a client function can call, and now and then what it must not.

use durawasm::raw::activity_context;
use durawasm::raw::client::{self, Filter, Parts, Reuse, RuntimeStatus, StartOptions, StartRequest};
use durawasm::raw::function_context;
use durawasm::raw::types::{LogLevel, Tag};

use crate::random::Random;

/// Makes so many calls; gives how many were answered well.
pub(crate) fn run(mut random: Random, calls: usize) -> String {
    let fine = (0..calls.min(12)).filter(|_| call(&mut random)).count();
    fine.to_string()
}

fn options(random: &mut Random) -> StartOptions {
    let count = if random.one_in(20) { random.pick(&[1, 17, 1_000]) } else { 0 };
    StartOptions {
        instance_id: random.one_in(2).then(|| random.id()),
        version: random.one_in(20).then(|| random.name()),
        tags: (0..count).map(|_| Tag { name: random.name(), value: random.event() }).collect(),
        reuse: random.pick(&[Reuse::Never, Reuse::Terminal, Reuse::Any]),
        scheduled_at: random.one_in(6).then(|| random.time()),
    }
}

/// What is started makes a few calls and none that starts more: it must come to an end.
fn input(random: &mut Random) -> Option<String> {
    if random.one_in(10) { random.json() } else { Some(format!("[{},2]", random.next())) }
}

fn filter(random: &mut Random) -> Filter {
    Filter {
        created_from: random.one_in(4).then(|| random.time()),
        created_to: random.one_in(9).then(|| random.time()),
        runtime_status: (0..random.below(3))
            .map(|_| random.pick(&[RuntimeStatus::Failed, RuntimeStatus::Pending]))
            .collect(),
        name: random.one_in(4).then(|| random.name()),
        instance_id_prefix: random.one_in(4).then(|| random.id()),
    }
}

fn call(random: &mut Random) -> bool {
    let (id, reason) = (random.id(), random.one_in(2).then(|| random.event()));
    let parts = Parts { input: random.one_in(2), history: random.one_in(2), history_output: random.one_in(2) };
    match random.below(20) {
        0 | 1 => {
            let (input, options) = (input(random), options(random));
            client::start_new("Wild", input.as_deref(), &options).is_ok()
        }
        2 => {
            let count = if random.one_in(20) { 300 } else { random.below(3) };
            let requests: Vec<_> = (0..count)
                .map(|_| StartRequest { name: random.name(), input: input(random), options: options(random) })
                .collect();
            client::start_many(&requests).is_ok()
        }
        3 | 4 => client::get_status(&id, parts).is_ok(),
        5 => {
            let filter = filter(random);
            let top = random.one_in(2).then(|| random.pick(&[0, 1, 5, u32::MAX]));
            let continuation = random.one_in(4).then(|| random.id());
            client::list_instances(&filter, true, top, continuation.as_deref()).is_ok()
        }
        6 | 7 => {
            let (name, data) = (random.event(), random.json());
            client::raise_event(&id, &name, data.as_deref()).is_ok()
        }
        8 => client::terminate(&id, reason.as_deref(), random.one_in(2)).is_ok(),
        9 => client::suspend(&id, reason.as_deref()).is_ok(),
        10 => client::resume(&id, reason.as_deref()).is_ok(),
        11 => client::rewind(&id, reason.as_deref()).is_ok(),
        // Of what exists it would begin all of this anew, this restart included.
        12 if !["wild-1", "wild-2", "same", "child"].contains(&id.as_str()) => {
            client::restart(&id, random.one_in(2)).is_ok()
        }
        13 => client::purge(&id, random.one_in(2)).is_ok(),
        14 => {
            let filter = Filter { runtime_status: vec![RuntimeStatus::Terminated], ..filter(random) };
            client::purge_many(&filter, false).is_ok()
        }
        15 => client::wait_for_completion(&id, random.ms().min(30.0)).is_ok(),
        16 => client::wait_for_start(&id, random.ms().min(30.0)).is_ok(),
        17 if random.one_in(2) => !client::create_check_status_response(&id).body.is_empty(),
        17 => !client::create_management_payload(&id).id.is_empty(),
        18 => {
            println!("{}", random.event());
            eprint!("{}", random.event());
            true
        }
        _ => in_role(random),
    }
}

/// Right for one of the roles, and the end of the others.
fn in_role(random: &mut Random) -> bool {
    match random.below(30) {
        0 => activity_context::heartbeat(random.json().as_deref()),
        1 => activity_context::info().attempt > 0,
        2 => !function_context::info().hub.is_empty(),
        3 => {
            activity_context::log(LogLevel::Debug, &random.event());
            true
        }
        4 => durawasm::raw::orchestration::when_any(&[1]) > 0,
        _ => true,
    }
}
