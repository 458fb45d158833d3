//! Little orchestrator programs, so that the core can be tested without Wasm.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use durawasm_core::model::Tags;
use durawasm_core::{
    Command, Failure, Fuel, GuestFault, Notice, Orchestration, RetryPolicy, SignedDuration, TaskId, Timestamp,
};

/// A program: one step a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program(pub(crate) Vec<String>);

/// How far a run came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    Waiting,
    Returned,
    Stopped(GuestFault),
}

/// A run of a program: what a guest's memory is.
#[derive(Default)]
pub(crate) struct Run {
    at: usize,
    tasks: HashMap<String, TaskId>,
    /// What it has cost so far.
    used: u64,
    pub(crate) logs: Vec<String>,
}

impl Run {
    /// Runs until the program waits or ends.
    pub(crate) fn go(&mut self, program: &Program, guest: &mut Orchestration, now: Timestamp) -> Progress {
        while let Some(line) = program.0.get(self.at) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match self.step(&words, program, guest, now) {
                Ok(Some(progress)) => return progress,
                Ok(None) => {
                    self.at += 1;
                    self.used += 1;
                }
                Err(fault) => return Progress::Stopped(fault),
            }
        }
        guest.spent(self.fuel(program));
        match guest.returned(Ok(None), now) {
            Ok(()) => Progress::Returned,
            Err(fault) => Progress::Stopped(fault),
        }
    }

    /// Another program is another code, unless only what it burns is different.
    fn fuel(&self, program: &Program) -> Fuel {
        let mut code = DefaultHasher::new();
        program.0.iter().filter(|line| !line.starts_with("burn")).for_each(|line| line.hash(&mut code));
        Fuel { total: self.used, code: code.finish() }
    }

    fn task(&self, name: &str) -> TaskId {
        self.tasks.get(name).copied().unwrap_or_else(|| TaskId(name.parse().unwrap_or(0)))
    }

    fn step(
        &mut self,
        words: &[&str],
        program: &Program,
        guest: &mut Orchestration,
        now: Timestamp,
    ) -> Result<Option<Progress>, GuestFault> {
        if let ["any" | "all" | "return" | "fail" | "failif", ..] = words {
            guest.spent(self.fuel(program));
        }
        match words {
            // What the engine counts, and the code does not see.
            ["burn", fuel] => self.used += fuel.parse::<u64>().unwrap(),
            [name, "=", call @ ..] => {
                let task = guest.call(command(call, guest))?;
                self.tasks.insert((*name).to_owned(), task);
            }
            ["start", name, id @ ..] => {
                guest.notify(Notice::StartSubOrchestration {
                    instance_id: id.first().map(|id| (*id).to_owned()),
                    name: (*name).to_owned(),
                    input: None,
                    version: None,
                    tags: Tags::new(),
                })?;
            }
            ["send", instance, name, json] => {
                guest.notify(Notice::SendEvent {
                    instance_id: (*instance).to_owned(),
                    name: (*name).to_owned(),
                    input: Some((*json).into()),
                })?;
            }
            ["cancel", name] => guest.cancel(self.task(name))?,
            ["any", winner, names @ ..] => {
                let tasks: Vec<_> = names.iter().map(|name| self.task(name)).collect();
                let Some(first) = guest.when_any(&tasks)? else { return Ok(Some(Progress::Waiting)) };
                self.tasks.insert((*winner).to_owned(), first);
            }
            ["all", names @ ..] => {
                let tasks: Vec<_> = names.iter().map(|name| self.task(name)).collect();
                if !guest.when_all(&tasks)? {
                    return Ok(Some(Progress::Waiting));
                }
            }
            ["if", left, right, "goto", label] => {
                if self.task(left) == self.task(right) {
                    self.goto(program, label);
                }
            }
            ["iffailed", name, "goto", label] => {
                if guest.result(self.task(name))?.is_err() {
                    self.goto(program, label);
                }
            }
            ["failif", name] => {
                let outcome = guest.result(self.task(name))?;
                if outcome.is_err() {
                    guest.returned(outcome, now)?;
                    return Ok(Some(Progress::Returned));
                }
            }
            ["goto", label] => self.goto(program, label),
            ["label", _] => {}
            ["status", json] => guest.set_custom_status(Some((*json).into())),
            ["log", text @ ..] if !guest.is_replaying() => self.logs.push(text.join(" ")),
            ["log", ..] => {}
            ["now"] => guest.set_custom_status(Some(format!("\"{}\"", guest.now()).into())),
            ["guid"] => {
                let guid = guest.new_guid();
                guest.set_custom_status(Some(format!("\"{guid}\"").into()));
            }
            ["continue", input, keep] => guest.continue_as_new(Some((*input).into()), *keep == "keep"),
            ["return", name] if name.starts_with('$') => {
                let outcome = guest.result(self.task(&name[1..]))?;
                guest.returned(outcome, now)?;
                return Ok(Some(Progress::Returned));
            }
            ["return", json] => {
                guest.returned(Ok(Some((*json).into())), now)?;
                return Ok(Some(Progress::Returned));
            }
            ["fail", text @ ..] => {
                guest.returned(Err(Failure::new("Error", text.join(" "))), now)?;
                return Ok(Some(Progress::Returned));
            }
            _ => panic!("not a step of a program: {words:?}"),
        }
        Ok(None)
    }

    fn goto(&mut self, program: &Program, label: &str) {
        let place = program.0.iter().position(|line| *line == format!("label {label}"));
        self.at = place.unwrap_or_else(|| panic!("no label {label}"));
    }
}

fn command(words: &[&str], guest: &Orchestration) -> Command {
    match words {
        ["activity", name] => activity(name, None, None),
        ["activity", name, "retry", attempts, millis] => activity(name, None, Some(policy(attempts, millis))),
        ["child", name] => child(name, None, None),
        ["child", name, "retry", attempts, millis] => child(name, None, Some(policy(attempts, millis))),
        ["child", name, "id", id] => child(name, Some(id), None),
        ["child", name, "id", id, "retry", attempts, millis] => child(name, Some(id), Some(policy(attempts, millis))),
        ["activity", name, input, "retry", attempts, millis] => {
            activity(name, Some(input), Some(policy(attempts, millis)))
        }
        ["activity", name, input] => activity(name, Some(input), None),
        ["timer", seconds] => {
            let seconds: i64 = seconds.parse().unwrap();
            Command::CreateTimer { fire_at: guest.now() + SignedDuration::from_secs(seconds) }
        }
        ["event", name] => Command::AwaitEvent { name: (*name).to_owned() },
        _ => panic!("not a call: {words:?}"),
    }
}

fn policy(attempts: &str, millis: &str) -> RetryPolicy {
    RetryPolicy {
        first_retry_interval_ms: millis.parse().unwrap(),
        max_attempts: attempts.parse().unwrap(),
        backoff_coefficient: 2.0,
        max_retry_interval_ms: None,
        retry_timeout_ms: None,
    }
}

fn child(name: &str, id: Option<&str>, retry: Option<RetryPolicy>) -> Command {
    Command::CallSubOrchestration {
        instance_id: id.map(str::to_owned),
        name: name.to_owned(),
        input: None,
        retry,
        version: None,
        tags: Tags::new(),
    }
}

fn activity(name: &str, input: Option<&str>, retry: Option<RetryPolicy>) -> Command {
    Command::CallActivity {
        name: name.to_owned(),
        input: input.map(Into::into),
        retry,
        timeout_ms: None,
        tags: Tags::new(),
    }
}
