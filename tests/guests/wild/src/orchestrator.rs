//! What an orchestrator can call, and now and then what it must not.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use durawasm::raw::orchestration::{self as host, ActivityOptions, HttpCall, HttpOptions, SubOrchestrationOptions};
use durawasm::raw::types::{LogLevel, RetryPolicy, Tag};

use crate::random::Random;

/// What the run has made and seen.
struct State {
    random: Random,
    /// Handles of tasks that come to an end.
    made: Vec<u32>,
    seen: String,
}

/// Makes so many calls; gives what it has seen, which is the same in every replay.
pub(crate) fn run(random: Random, calls: usize) -> String {
    let mut state = State { random, made: Vec::new(), seen: String::new() };
    for left in (0..calls).rev() {
        state.call(left);
    }
    format!("{:?}", state.seen.chars().filter(char::is_ascii_graphic).collect::<String>())
}

impl State {
    fn see(&mut self, what: impl std::fmt::Debug) {
        let text = format!("{what:?};");
        self.seen.extend(text.chars().take(60));
    }

    fn tags(&mut self) -> Vec<Tag> {
        let count = if self.random.one_in(40) { self.random.pick(&[1, 17, 1_000]) } else { 0 };
        (0..count).map(|_| Tag { name: self.random.name(), value: self.random.event() }).collect()
    }

    fn retry(&mut self) -> Option<RetryPolicy> {
        self.random.one_in(6).then(|| RetryPolicy {
            first_retry_interval: self.random.ms(),
            // Not as many as there can be: an attempt may be due at once, and fail each time.
            max_attempts: if self.random.one_in(10) { self.random.pick(&[0, 30]) } else { 2 },
            backoff_coefficient: if self.random.one_in(10) { self.random.ms() } else { 1.0 },
            max_retry_interval: self.random.maybe_ms(),
            retry_timeout: self.random.maybe_ms(),
        })
    }

    /// For a function that is called: fewer calls than here, so that it comes to an end.
    fn input(&mut self, left: usize) -> Option<String> {
        if self.random.one_in(20) { self.random.json() } else { Some(format!("[{},{}]", self.random.next(), left / 3)) }
    }

    fn child(&mut self, retry: Option<RetryPolicy>) -> SubOrchestrationOptions {
        let instance_id = self.random.one_in(8).then(|| self.random.id());
        let version = self.random.one_in(20).then(|| self.random.name());
        SubOrchestrationOptions { instance_id, retry, version, tags: self.tags() }
    }

    fn call(&mut self, left: usize) {
        match self.random.below(26) {
            0..=2 => self.call_activity(left),
            3 => self.call_http(),
            4 => {
                let (name, retry) =
                    (if self.random.one_in(9) { self.random.name() } else { "Wild".to_owned() }, self.retry());
                let (input, options) = (self.input(left), self.child(retry));
                self.made.push(host::call_sub_orchestration(&name, input.as_deref(), &options));
            }
            5 => {
                let (input, retry) = (self.input(left / 2), self.random.one_in(40).then(|| self.retry()).flatten());
                let options = self.child(retry);
                let id = host::start_sub_orchestration("Wild", input.as_deref(), &options);
                self.see(id);
            }
            6 | 7 => {
                let time = self.random.time();
                self.made.push(host::create_timer(&time));
            }
            8 | 9 => {
                // Raised by itself, so that it comes.
                let (name, data, id) = (self.random.event(), self.random.json(), host::instance().instance_id);
                self.made.push(host::wait_for_event(&name));
                host::send_event(&id, &name, data.as_deref());
            }
            10 => {
                let (id, name, data) = (self.random.id(), self.random.event(), self.random.json());
                host::send_event(&id, &name, data.as_deref());
            }
            11 if self.random.one_in(5) => {
                let task = self.random.task(&self.made);
                host::cancel(task);
                self.made.retain(|made| *made != task);
            }
            12..=14 => self.wait(),
            15 => {
                let status = self.random.json();
                host::set_custom_status(status.as_deref());
            }
            16 if self.random.one_in(10) => {
                let (input, keep) = (self.input(left / 2), self.random.one_in(2));
                host::continue_as_new(input.as_deref(), keep);
            }
            17 => {
                let text = self.random.event();
                host::log(self.random.pick(&[LogLevel::Trace, LogLevel::Info, LogLevel::Error]), &text);
                println!("{text}");
                eprint!("{text}");
            }
            18 => self.see(host::current_time()),
            19 => self.see(host::new_guid()),
            20 => self.see(host::instance().execution_id.len()),
            21 => self.see(SystemTime::now()),
            // The order of a hash set is random.
            22 => self.see((0..5).collect::<HashSet<_>>()),
            23 => std::thread::sleep(Duration::from_millis(self.random.next() % 3)),
            24 if self.random.one_in(30) => self.forbidden(),
            _ => {}
        }
    }

    fn call_activity(&mut self, left: usize) {
        let options = ActivityOptions {
            retry: self.retry(),
            timeout: self.random.one_in(9).then(|| self.random.ms()),
            tags: self.tags(),
        };
        let (name, input) = (self.random.name(), self.input(left));
        self.made.push(host::call_activity(&name, input.as_deref(), &options));
    }

    fn call_http(&mut self) {
        let wild = self.random.one_in(4);
        let (method, uri) =
            if wild { (self.random.name(), self.random.id()) } else { ("GET".into(), "http://127.0.0.1:1/".into()) };
        let call = HttpCall { method, uri, headers: self.tags(), body: self.random.json().map(String::into_bytes) };
        let options = HttpOptions {
            retry: None,
            retry_statuses: if wild { vec![0, 65_535] } else { vec![] },
            timeout: self.random.maybe_ms(),
            poll: self.random.one_in(3),
            tags: self.tags(),
        };
        self.made.push(host::call_http(&call, &options));
    }

    fn wait(&mut self) {
        let count = if self.random.one_in(40) { 0 } else { 1 + self.random.below(4) };
        let tasks: Vec<u32> = (0..count).map(|_| self.random.task(&self.made)).collect();
        if self.random.one_in(2) {
            let first = host::when_any(&tasks);
            self.see(host::get_result(first).map_err(|failure| failure.error_type));
        } else {
            host::when_all(&tasks);
            for task in tasks {
                self.see(host::get_result(task).map_err(|failure| failure.error_type));
            }
        }
        if self.random.one_in(20) {
            let task = self.random.task(&self.made);
            self.see(host::get_result(task).map_err(|failure| failure.error_type));
        }
    }

    fn forbidden(&mut self) {
        match self.random.below(3) {
            0 => self.see(durawasm::raw::activity_context::info().attempt),
            1 => self.see(durawasm::raw::function_context::info().hub),
            _ => self.see(durawasm::raw::client::purge("same", true).is_ok()),
        }
    }
}
