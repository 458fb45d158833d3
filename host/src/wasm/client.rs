//! The durable client of guests: the host functions of `durable:functions/client`. What comes from a guest is checked
//! here; what happens is the engine's.

use std::time::Duration;

use durawasm_core::{Message, Status, Timestamp};
use jiff::fmt::temporal::DateTimePrinter;

use super::bindings::durable::functions::client::{self as wit, Error};
use super::bindings::durable::functions::types;
use super::convert;
use super::guest::Stop;
use super::limits::{LARGEST_PAGE, PAGE, PAGE_BYTES};
use super::orchestration::DurableView;
use crate::engine::guest_client::{CheckStatusResponse, GuestClient, HistoryDetail};
use crate::engine::{
    InstanceView, Parts, PurgeError, PurgeOptions, RestartError, Reuse, SendError, StartError, StartRequest, Waited,
};
use crate::store::{Filter, ListQuery, PayloadParts, Position, StoreError};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// What the guest handed over is its caller's fault as often as its own: an error it can deal with, not its end.
fn checked<T>(value: wasmtime::Result<T>) -> wasmtime::Result<Result<T, Error>> {
    match value {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.downcast_ref::<Stop>() {
            Some(Stop::Failed(failure)) => Ok(Err(Error::Invalid(failure.message.clone()))),
            Some(Stop::Faulted | Stop::Host(_)) | None => Err(error),
        },
    }
}

fn start_request(client: &GuestClient, request: wit::StartRequest, limit: usize) -> wasmtime::Result<StartRequest> {
    let wit::StartRequest { name, input, options } = request;
    Ok(StartRequest {
        hub: client.hub().clone(),
        function: name,
        instance_id: options.instance_id,
        input: convert::payload("the orchestration's input", input, limit)?,
        version: options.version.map(convert::label).transpose()?,
        tags: convert::tags(options.tags)?,
        reuse: match options.reuse {
            wit::Reuse::Never => Reuse::Never,
            wit::Reuse::Terminal => Reuse::Terminal,
            wit::Reuse::Any => Reuse::Any,
        },
        trace_parent: client.trace_parent(),
        trace_state: None,
        scheduled_at: options.scheduled_at.as_deref().map(convert::timestamp).transpose()?,
    })
}

/// The value of a checked argument; otherwise the guest gets the error.
macro_rules! take {
    ($value:expr) => {
        match checked($value)? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl wit::Host for DurableView<'_> {
    async fn start_new(&mut self, name: String, input: Option<String>, options: wit::StartOptions) -> Answer<String> {
        let client = self.client("start-new").await?;
        let request = wit::StartRequest { name, input, options };
        let request = take!(start_request(&client, request, self.0.limits.payload));
        match client.engine().start(request).await {
            Ok(id) => Ok(Ok(id.to_string())),
            Err(error) => Ok(Err(start_error(&client, error).await)),
        }
    }

    async fn start_many(&mut self, requests: Vec<wit::StartRequest>) -> Answer<Vec<String>> {
        let client = self.client("start-many").await?;
        let limit = self.0.limits.payload;
        let requests = requests.into_iter().map(|request| start_request(&client, request, limit));
        let requests: Vec<_> = take!(requests.collect::<wasmtime::Result<_>>());
        match client.start_many(requests).await {
            Ok(ids) => Ok(Ok(ids.iter().map(ToString::to_string).collect())),
            Err(error) => Ok(Err(start_error(&client, error).await)),
        }
    }

    async fn get_status(&mut self, instance_id: String, parts: wit::Parts) -> Answer<Option<wit::Status>> {
        let client = self.client("get-status").await?;
        let wanted = Parts { payloads: true, history: parts.history };
        let found = client.engine().instance(client.hub(), &instance_id, wanted).await;
        Ok(found.map(|view| view.map(|view| status(&client, &view, parts))).map_err(store_error))
    }

    async fn raise_event(&mut self, instance_id: String, name: String, data: Option<String>) -> Answer<()> {
        let client = self.client("raise-event").await?;
        let name = take!(convert::name("an event", name));
        let input = take!(convert::payload("the event's data", data, self.0.limits.payload));
        send(&client, &instance_id, Message::EventRaised { name, input }).await
    }

    async fn terminate(&mut self, instance_id: String, reason: Option<String>, recursive: bool) -> Answer<()> {
        let client = self.client("terminate").await?;
        let reason = take!(reason.map(convert::reason).transpose());
        send(&client, &instance_id, Message::Terminate { reason, recursive }).await
    }

    async fn suspend(&mut self, instance_id: String, reason: Option<String>) -> Answer<()> {
        let client = self.client("suspend").await?;
        let reason = take!(reason.map(convert::reason).transpose());
        send(&client, &instance_id, Message::Suspend { reason }).await
    }

    async fn resume(&mut self, instance_id: String, reason: Option<String>) -> Answer<()> {
        let client = self.client("resume").await?;
        let reason = take!(reason.map(convert::reason).transpose());
        send(&client, &instance_id, Message::Resume { reason }).await
    }

    async fn rewind(&mut self, instance_id: String, reason: Option<String>) -> Answer<()> {
        let client = self.client("rewind").await?;
        let reason = take!(reason.map(convert::reason).transpose());
        Ok(client.engine().rewind(client.hub(), &instance_id, reason).await.map_err(send_error))
    }

    async fn restart(&mut self, instance_id: String, fresh_id: bool) -> Answer<String> {
        let client = self.client("restart").await?;
        match client.engine().restart(client.hub(), &instance_id, fresh_id).await {
            Ok(id) => Ok(Ok(id.to_string())),
            Err(RestartError::Unknown) => Ok(Err(Error::NotFound)),
            Err(RestartError::Start(error)) => Ok(Err(start_error(&client, error).await)),
        }
    }

    async fn wait_for_completion(&mut self, instance_id: String, timeout: f64) -> Answer<Option<wit::Status>> {
        let client = self.client("wait-for-completion").await?;
        let timeout = Duration::from_secs_f64(take!(convert::duration("the timeout", timeout, false)) / 1_000.0);
        let parts = wit::Parts { input: true, history: false, history_output: false };
        Ok(match client.engine().wait(client.hub(), &instance_id, timeout).await {
            Ok(Waited::Ended(view)) => Ok(Some(status(&client, &view, parts))),
            Ok(Waited::Completed(_)) => {
                let wanted = Parts { payloads: true, history: false };
                let found = client.engine().instance(client.hub(), &instance_id, wanted).await;
                found.map(|view| view.map(|view| status(&client, &view, parts))).map_err(store_error)
            }
            Ok(Waited::StillRunning) => Ok(None),
            Ok(Waited::Unknown) => Err(Error::NotFound),
            Err(error) => Err(store_error(error)),
        })
    }

    async fn list_instances(
        &mut self,
        filter: wit::Filter,
        with_input: bool,
        top: Option<u32>,
        continuation: Option<String>,
    ) -> Answer<wit::Page> {
        let client = self.client("list-instances").await?;
        let filter = take!(filter_of(filter));
        let after = match continuation.map(|text| Position::from_token(&text)) {
            None => None,
            Some(Some(position)) => Some(position),
            Some(None) => return Ok(Err(Error::Invalid("the continuation is none of this host".to_owned()))),
        };
        let limit = usize::try_from(top.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)).unwrap_or(1);
        Ok(page(&client, ListQuery { filter, after, limit }, with_input).await.map_err(store_error))
    }

    async fn purge(&mut self, instance_id: String, recursive: bool) -> Answer<u32> {
        let client = self.client("purge").await?;
        let options = PurgeOptions { force: false, recursive };
        Ok(match client.engine().purge(client.hub(), &instance_id, options).await {
            Ok(count) => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(PurgeError::Unknown) => Ok(0),
            Err(PurgeError::NotTerminal { .. }) => Err(Error::NotEnded),
            Err(PurgeError::Store(error)) => Err(store_error(error)),
        })
    }

    async fn purge_many(&mut self, filter: wit::Filter, recursive: bool) -> Answer<u32> {
        let client = self.client("purge-many").await?;
        let filter = take!(filter_of(filter));
        let purged = client.engine().purge_many(client.hub(), &filter, recursive).await;
        Ok(purged.map(|count| u32::try_from(count).unwrap_or(u32::MAX)).map_err(store_error))
    }

    async fn wait_for_start(&mut self, instance_id: String, timeout: f64) -> Answer<Option<wit::Status>> {
        let client = self.client("wait-for-start").await?;
        let timeout = Duration::from_secs_f64(take!(convert::duration("the timeout", timeout, false)) / 1_000.0);
        let parts = wit::Parts { input: true, history: false, history_output: false };
        Ok(match client.engine().wait_for_start(client.hub(), &instance_id, timeout).await {
            Ok(Some(view)) if view.record.status == Status::Pending => Ok(None),
            Ok(Some(view)) => Ok(Some(status(&client, &view, parts))),
            Ok(None) => Err(Error::NotFound),
            Err(error) => Err(store_error(error)),
        })
    }

    async fn create_management_payload(&mut self, instance_id: String) -> wasmtime::Result<wit::ManagementPayload> {
        let payload = self.client("create-management-payload").await?.management_payload(&instance_id);
        Ok(wit::ManagementPayload {
            id: payload.id,
            status_query_get_uri: payload.status_query_get_uri,
            send_event_post_uri: payload.send_event_post_uri,
            terminate_post_uri: payload.terminate_post_uri,
            rewind_post_uri: payload.rewind_post_uri,
            purge_history_delete_uri: payload.purge_history_delete_uri,
            restart_post_uri: payload.restart_post_uri,
            suspend_post_uri: payload.suspend_post_uri,
            resume_post_uri: payload.resume_post_uri,
        })
    }

    async fn create_check_status_response(
        &mut self,
        instance_id: String,
    ) -> wasmtime::Result<wit::CheckStatusResponse> {
        let response = self.client("create-check-status-response").await?.check_status_response(&instance_id);
        let CheckStatusResponse { location, retry_after, body } = response;
        Ok(wit::CheckStatusResponse { location, retry_after, body })
    }
}

fn filter_of(filter: wit::Filter) -> wasmtime::Result<Filter> {
    let time = |text: Option<String>| text.as_deref().map(convert::timestamp).transpose();
    Ok(Filter {
        created_from: time(filter.created_from)?,
        created_to: time(filter.created_to)?,
        updated_to: None,
        statuses: filter.runtime_status.into_iter().map(status_of).collect(),
        name: filter.name,
        id_prefix: filter.instance_id_prefix,
    })
}

/// A page with its payloads: what one call hands over has a bound, so a page of large ones ends early.
async fn page(client: &GuestClient, query: ListQuery, with_input: bool) -> Result<wit::Page, StoreError> {
    let parts = wit::Parts { input: with_input, history: false, history_output: false };
    let wanted = PayloadParts { input: with_input, output: true, custom_status: true };
    let found = client.engine().list(client.hub(), query).await?;
    let (mut instances, mut bytes) = (Vec::new(), 0);
    for record in found.records {
        if bytes > PAGE_BYTES {
            let last = instances.last().map(|(position, _): &(Position, wit::Status)| position.to_token());
            let instances = instances.into_iter().map(|(_, status)| status).collect();
            return Ok(wit::Page { instances, continuation: last });
        }
        let position = Position { created: record.created, id: record.id.clone() };
        let Some(view) = client.engine().snapshot(record.number, wanted).await? else { continue };
        let payloads = [&view.payloads.input, &view.payloads.output, &view.payloads.custom_status];
        bytes += payloads.iter().filter_map(|payload| payload.as_ref()).map(|payload| payload.len()).sum::<usize>();
        instances.push((position, status(client, &view, parts)));
    }
    let continuation = found.next.map(|position| position.to_token());
    Ok(wit::Page { instances: instances.into_iter().map(|(_, status)| status).collect(), continuation })
}

async fn send(client: &GuestClient, instance_id: &str, message: Message) -> Answer<()> {
    Ok(client.engine().send(client.hub(), instance_id, message).await.map_err(send_error))
}

fn time(at: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_string(&at)
}

fn runtime_status(status: Status) -> wit::RuntimeStatus {
    match status {
        Status::Running => wit::RuntimeStatus::Running,
        Status::Completed => wit::RuntimeStatus::Completed,
        Status::ContinuedAsNew => wit::RuntimeStatus::ContinuedAsNew,
        Status::Failed => wit::RuntimeStatus::Failed,
        Status::Canceled => wit::RuntimeStatus::Canceled,
        Status::Terminated => wit::RuntimeStatus::Terminated,
        Status::Pending => wit::RuntimeStatus::Pending,
        Status::Suspended => wit::RuntimeStatus::Suspended,
    }
}

fn status_of(status: wit::RuntimeStatus) -> Status {
    match status {
        wit::RuntimeStatus::Running => Status::Running,
        wit::RuntimeStatus::Completed => Status::Completed,
        wit::RuntimeStatus::ContinuedAsNew => Status::ContinuedAsNew,
        wit::RuntimeStatus::Failed => Status::Failed,
        wit::RuntimeStatus::Canceled => Status::Canceled,
        wit::RuntimeStatus::Terminated => Status::Terminated,
        wit::RuntimeStatus::Pending => Status::Pending,
        wit::RuntimeStatus::Suspended => Status::Suspended,
    }
}

fn status(client: &GuestClient, view: &InstanceView, parts: wit::Parts) -> wit::Status {
    let record = &view.record;
    let text = |payload: &Option<durawasm_core::Payload>| payload.as_deref().map(str::to_owned);
    let detail = HistoryDetail { input: parts.input, output: parts.history_output };
    // What has not begun has no history to show (http-api.md 5).
    let shows_history = parts.history && record.status != Status::Pending;
    wit::Status {
        name: record.name.clone(),
        instance_id: record.id.to_string(),
        version: record.version.clone(),
        runtime_status: runtime_status(record.status),
        input: text(&view.payloads.input).filter(|_| parts.input),
        custom_status: text(&view.payloads.custom_status),
        output: text(&view.payloads.output),
        created_time: time(record.created),
        last_updated_time: time(record.updated),
        parent_instance_id: record.parent_instance_id.as_deref().map(str::to_owned),
        tags: record.tags.iter().map(|(name, value)| types::Tag { name: name.clone(), value: value.clone() }).collect(),
        history: shows_history
            .then(|| client.history(&view.history, detail))
            .flatten()
            .map(|history| history.to_string()),
    }
}

async fn start_error(client: &GuestClient, error: StartError) -> Error {
    let text = error.to_string();
    match error {
        StartError::Exists { id, .. } => {
            let parts = wit::Parts { input: true, history: false, history_output: false };
            let wanted = Parts { payloads: true, history: false };
            match client.engine().instance(client.hub(), &id, wanted).await {
                Ok(Some(view)) => Error::AlreadyExists(status(client, &view, parts)),
                // It was there and is gone: whoever tries again may get the id.
                Ok(None) => Error::Unavailable(text),
                Err(error) => store_error(error),
            }
        }
        StartError::BadInstanceId(_) | StartError::UnknownFunction { .. } | StartError::NoHub(_) => {
            Error::Invalid(text)
        }
        StartError::TooMany { .. } | StartError::InputTooLarge { .. } | StartError::Quota(_) => Error::Limit(text),
        StartError::Store(error) => store_error(error),
    }
}

fn send_error(error: SendError) -> Error {
    let text = error.to_string();
    match error {
        SendError::Unknown => Error::NotFound,
        SendError::Ended => Error::Ended,
        SendError::NotFailed => Error::NotFailed,
        SendError::NoVersion => Error::Invalid(text),
        SendError::Full => Error::Limit(text),
        SendError::Changed => Error::Unavailable(text),
        SendError::Store(error) => store_error(error),
    }
}

/// The store's own words are for the operator.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn store_error(error: StoreError) -> Error {
    tracing::error!(%error, "a call of a guest failed in the store");
    Error::Unavailable("the host's store is unavailable".to_owned())
}
