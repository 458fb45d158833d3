//! The host's client as the rest of the crate calls it. Unit tests run natively on a host of their own.

#[cfg(not(test))]
pub(crate) use crate::bindings::durable::functions::client::*;

#[cfg(test)]
pub(crate) use fake::*;

/// A hub of instances that the test fills, which keeps account of what it is asked.
#[cfg(test)]
#[allow(clippy::result_large_err, reason = "the generated signatures")]
pub(crate) mod fake {
    use std::cell::RefCell;

    use crate::RuntimeStatus;
    use crate::bindings::durable::functions::client::{
        CheckStatusResponse, Error, Filter, ManagementPayload, Page, Parts, Reuse, StartOptions, StartRequest, Status,
    };

    #[derive(Default)]
    pub(crate) struct Hub {
        pub(crate) instances: Vec<Status>,
        pub(crate) calls: Vec<String>,
        /// The call of this number (from 0) fails.
        pub(crate) outage: Option<usize>,
    }

    thread_local!(pub(crate) static HUB: RefCell<Hub> = RefCell::default());

    pub(crate) fn reset(instances: Vec<Status>) {
        HUB.set(Hub { instances, ..Hub::default() });
    }

    pub(crate) fn calls() -> Vec<String> {
        HUB.with_borrow(|hub| hub.calls.clone())
    }

    pub(crate) fn status(id: &str, runtime_status: RuntimeStatus) -> Status {
        Status {
            name: "F".to_owned(),
            instance_id: id.to_owned(),
            version: None,
            runtime_status,
            input: Some(r#"{"b":1,"a":1.50}"#.to_owned()),
            custom_status: None,
            output: None,
            created_time: "2024-01-01T00:00:00.999999Z".to_owned(),
            last_updated_time: "2024-01-01T00:00:01Z".to_owned(),
            parent_instance_id: None,
            tags: vec![],
            history: None,
        }
    }

    fn call<T>(what: String, answer: impl FnOnce(&mut Hub) -> Result<T, Error>) -> Result<T, Error> {
        HUB.with_borrow_mut(|hub| {
            let number = hub.calls.len();
            hub.calls.push(what);
            if hub.outage == Some(number) {
                return Err(Error::Unavailable("the store is away".to_owned()));
            }
            answer(hub)
        })
    }

    fn existing<'a>(hub: &'a mut Hub, id: &str) -> Result<&'a mut Status, Error> {
        hub.instances.iter_mut().find(|status| status.instance_id == id).ok_or(Error::NotFound)
    }

    fn start(hub: &mut Hub, input: Option<&str>, options: &StartOptions) -> Result<String, Error> {
        let id = options.instance_id.clone().unwrap_or_else(|| format!("new-{}", hub.instances.len()));
        if let Ok(status) = existing(hub, &id) {
            let free = match options.reuse {
                Reuse::Never => false,
                Reuse::Terminal => status.runtime_status.has_ended(),
                Reuse::Any => true,
            };
            if !free {
                return Err(Error::AlreadyExists(status.clone()));
            }
        }
        hub.instances.retain(|status| status.instance_id != id);
        hub.instances.push(Status { input: input.map(str::to_owned), ..status(&id, RuntimeStatus::Pending) });
        Ok(id)
    }

    pub(crate) fn start_new(name: &str, input: Option<&str>, options: &StartOptions) -> Result<String, Error> {
        let input_text = input.unwrap_or("-");
        call(format!("start {name}({input_text}) {options:?}"), |hub| start(hub, input, options))
    }

    pub(crate) fn start_many(requests: &[StartRequest]) -> Result<Vec<String>, Error> {
        call(format!("start {}", requests.len()), |hub| {
            requests.iter().map(|request| start(hub, request.input.as_deref(), &request.options)).collect()
        })
    }

    pub(crate) fn get_status(id: &str, parts: Parts) -> Result<Option<Status>, Error> {
        call(format!("get {id} {parts:?}"), |hub| {
            Ok(existing(hub, id).ok().map(|status| Status {
                input: status.input.clone().filter(|_| parts.input),
                history: parts.history.then(|| "[]".to_owned()),
                ..status.clone()
            }))
        })
    }

    /// Every other page is empty: such pages exist, and a next page follows them all the same.
    pub(crate) fn list_instances(
        _: &Filter,
        _: bool,
        top: Option<u32>,
        continuation: Option<&str>,
    ) -> Result<Page, Error> {
        call(format!("list {}", continuation.unwrap_or("-")), |hub| {
            let page: usize = continuation.map_or(0, |text| text.parse().expect("a token this host gave"));
            let size = top.unwrap_or(100) as usize;
            let from = page / 2 * size;
            let instances: Vec<_> = if page.is_multiple_of(2) {
                hub.instances.iter().skip(from).take(size).cloned().collect()
            } else {
                vec![]
            };
            let more = !page.is_multiple_of(2) || from + size < hub.instances.len();
            Ok(Page { instances, continuation: more.then(|| (page + 1).to_string()) })
        })
    }

    pub(crate) fn raise_event(id: &str, name: &str, data: Option<&str>) -> Result<(), Error> {
        call(format!("event {id} {name} {}", data.unwrap_or("-")), |hub| existing(hub, id).map(|_| ()))
    }

    pub(crate) fn terminate(id: &str, reason: Option<&str>, recursive: bool) -> Result<(), Error> {
        call(format!("terminate {id} {reason:?} {recursive}"), |hub| {
            let status = existing(hub, id)?;
            if status.runtime_status.has_ended() {
                return Err(Error::Ended);
            }
            status.runtime_status = RuntimeStatus::Terminated;
            Ok(())
        })
    }

    pub(crate) fn suspend(id: &str, reason: Option<&str>) -> Result<(), Error> {
        call(format!("suspend {id} {reason:?}"), |hub| existing(hub, id).map(|_| ()))
    }

    pub(crate) fn resume(id: &str, reason: Option<&str>) -> Result<(), Error> {
        call(format!("resume {id} {reason:?}"), |hub| existing(hub, id).map(|_| ()))
    }

    pub(crate) fn rewind(id: &str, reason: Option<&str>) -> Result<(), Error> {
        call(format!("rewind {id} {reason:?}"), |hub| {
            let failed = existing(hub, id)?.runtime_status == RuntimeStatus::Failed;
            failed.then_some(()).ok_or(Error::NotFailed)
        })
    }

    pub(crate) fn restart(id: &str, fresh_id: bool) -> Result<String, Error> {
        call(format!("restart {id} {fresh_id}"), |hub| {
            existing(hub, id)?;
            Ok(if fresh_id { "fresh".to_owned() } else { id.to_owned() })
        })
    }

    pub(crate) fn purge(id: &str, recursive: bool) -> Result<u32, Error> {
        call(format!("purge {id} {recursive}"), |hub| match existing(hub, id) {
            Ok(status) if !status.runtime_status.has_ended() => Err(Error::NotEnded),
            Ok(_) => Ok(1),
            Err(_) => Ok(0),
        })
    }

    pub(crate) fn purge_many(filter: &Filter, recursive: bool) -> Result<u32, Error> {
        call(format!("purge {filter:?} {recursive}"), |hub| Ok(hub.instances.len() as u32))
    }

    pub(crate) fn wait_for_completion(id: &str, timeout: f64) -> Result<Option<Status>, Error> {
        call(format!("wait {id} {timeout}"), |hub| {
            let status = existing(hub, id)?;
            Ok(status.runtime_status.has_ended().then(|| status.clone()))
        })
    }

    pub(crate) fn wait_for_start(id: &str, timeout: f64) -> Result<Option<Status>, Error> {
        call(format!("wait for the start of {id} {timeout}"), |hub| {
            let status = existing(hub, id)?;
            Ok((status.runtime_status != RuntimeStatus::Pending).then(|| status.clone()))
        })
    }

    pub(crate) fn create_management_payload(id: &str) -> ManagementPayload {
        let uri = |verb: &str| format!("http://host/instances/{id}{verb}");
        ManagementPayload {
            id: id.to_owned(),
            status_query_get_uri: uri(""),
            send_event_post_uri: uri("/raiseEvent/{eventName}"),
            terminate_post_uri: uri("/terminate?reason={text}"),
            rewind_post_uri: uri("/rewind?reason={text}"),
            purge_history_delete_uri: uri(""),
            restart_post_uri: uri("/restart"),
            suspend_post_uri: uri("/suspend?reason={text}"),
            resume_post_uri: uri("/resume?reason={text}"),
        }
    }

    pub(crate) fn create_check_status_response(id: &str) -> CheckStatusResponse {
        let location = create_management_payload(id).status_query_get_uri;
        CheckStatusResponse { body: format!(r#"{{"statusQueryGetUri":"{location}"}}"#), location, retry_after: 10 }
    }
}
