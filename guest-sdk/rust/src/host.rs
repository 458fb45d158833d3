//! The host's functions as the rest of the crate calls them. Unit tests run natively on a host of their own.

#[cfg(not(test))]
pub(crate) use crate::bindings::durable::functions::orchestration::*;

#[cfg(test)]
pub(crate) use fake::*;

#[cfg(test)]
pub(crate) use crate::bindings::durable::functions::orchestration::{
    ActivityOptions, HttpCall, HttpOptions, SubOrchestrationOptions,
};

/// A host that completes tasks in an order the test chooses and counts what it is asked.
#[cfg(test)]
pub(crate) mod fake {
    use std::cell::RefCell;

    use super::{ActivityOptions, HttpCall, HttpOptions, SubOrchestrationOptions};
    use crate::bindings::durable::functions::orchestration::InstanceInfo;
    use crate::bindings::durable::functions::types::{Failure, LogLevel};

    #[derive(Default)]
    pub(crate) struct Fake {
        /// What each task was made from: task n is entry n - 1.
        pub(crate) made: Vec<String>,
        /// In which order tasks complete; tasks that are not in it complete after these, oldest first.
        pub(crate) order: Vec<u32>,
        /// Tasks that fail.
        pub(crate) failing: Vec<u32>,
        pub(crate) delivered: Vec<u32>,
        pub(crate) canceled: Vec<u32>,
        pub(crate) calls_of_any: usize,
        pub(crate) ids_passed: usize,
        pub(crate) calls_of_all: usize,
        pub(crate) continued: Option<Option<String>>,
    }

    thread_local!(pub(crate) static FAKE: RefCell<Fake> = RefCell::default());

    pub(crate) fn reset(order: &[u32], failing: &[u32]) {
        FAKE.set(Fake { order: order.to_vec(), failing: failing.to_vec(), ..Fake::default() });
    }

    pub(crate) fn seen<T>(look: impl FnOnce(&Fake) -> T) -> T {
        FAKE.with_borrow(look)
    }

    fn make(what: String) -> u32 {
        FAKE.with_borrow_mut(|fake| {
            fake.made.push(what);
            fake.made.len() as u32
        })
    }

    pub(crate) fn call_activity(name: &str, input: Option<&str>, _: &ActivityOptions) -> u32 {
        make(format!("{name}({})", input.unwrap_or("-")))
    }

    pub(crate) fn call_http(call: &HttpCall, _: &HttpOptions) -> u32 {
        make(format!("{} {}", call.method, call.uri))
    }

    pub(crate) fn call_sub_orchestration(name: &str, _: Option<&str>, _: &SubOrchestrationOptions) -> u32 {
        make(name.to_owned())
    }

    pub(crate) fn start_sub_orchestration(name: &str, _: Option<&str>, _: &SubOrchestrationOptions) -> String {
        name.to_owned()
    }

    pub(crate) fn create_timer(fire_at: &str) -> u32 {
        make(format!("timer {fire_at}"))
    }

    pub(crate) fn wait_for_event(name: &str) -> u32 {
        make(format!("event {name}"))
    }

    pub(crate) fn cancel(task: u32) {
        FAKE.with_borrow_mut(|fake| fake.canceled.push(task));
    }

    pub(crate) fn when_any(tasks: &[u32]) -> u32 {
        FAKE.with_borrow_mut(|fake| {
            fake.calls_of_any += 1;
            fake.ids_passed += tasks.len();
            let first = fake.order.iter().find(|task| tasks.contains(task)).copied();
            let first = first.or_else(|| tasks.iter().min().copied()).expect("when-any of nothing traps");
            fake.delivered.push(first);
            first
        })
    }

    pub(crate) fn when_all(tasks: &[u32]) {
        FAKE.with_borrow_mut(|fake| {
            fake.calls_of_all += 1;
            fake.delivered.extend(tasks);
        });
    }

    /// A task's result is its own number.
    #[allow(clippy::result_large_err, reason = "the generated signature")]
    pub(crate) fn get_result(task: u32) -> Result<Option<String>, Failure> {
        FAKE.with_borrow(|fake| {
            assert!(fake.delivered.contains(&task), "get-result of the undelivered task {task} traps");
            let made = &fake.made[task as usize - 1];
            if fake.failing.contains(&task) {
                let failure = crate::Error::new("Boom", made).into_failure();
                return Err(failure.into());
            }
            Ok((!made.starts_with("timer")).then(|| task.to_string()))
        })
    }

    pub(crate) fn current_time() -> String {
        "2024-01-01T00:00:00.000000Z".to_owned()
    }

    pub(crate) fn new_guid() -> String {
        "9e952958-5e33-4daf-827f-2fa12937b875".to_owned()
    }

    pub(crate) fn instance() -> InstanceInfo {
        InstanceInfo {
            instance_id: "i".to_owned(),
            execution_id: "e".to_owned(),
            parent_instance_id: None,
            name: "Test".to_owned(),
            version: None,
            tags: vec![],
        }
    }

    pub(crate) fn set_custom_status(_: Option<&str>) {}

    pub(crate) fn send_event(_: &str, _: &str, _: Option<&str>) {}

    pub(crate) fn continue_as_new(input: Option<&str>, _: bool) {
        FAKE.with_borrow_mut(|fake| fake.continued = Some(input.map(str::to_owned)));
    }

    pub(crate) fn log(_: LogLevel, _: &str) {}
}
