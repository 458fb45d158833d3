//! Instances as the client shows them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::bindings::durable::functions::client as wit;
use crate::error::Result;
use crate::http::origin;
use crate::payload::decode;
use crate::{RuntimeStatus, Timestamp};

impl RuntimeStatus {
    /// The name in the management API: `Running`, `ContinuedAsNew`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Terminated => "Terminated",
            Self::Pending => "Pending",
            Self::Suspended => "Suspended",
        }
    }

    /// Whether the instance has ended.
    ///
    /// ```
    /// use durawasm::RuntimeStatus;
    ///
    /// assert!(RuntimeStatus::Failed.has_ended() && !RuntimeStatus::Suspended.has_ended());
    /// ```
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Terminated => true,
            Self::Running | Self::ContinuedAsNew | Self::Pending | Self::Suspended => false,
        }
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By its name in the management API.
impl Serialize for RuntimeStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An instance as the management API shows it; with serde it is written as that JSON.
///
/// ```no_run
/// # use durawasm::prelude::*;
/// # fn example(client: DurableClient, id: &str) -> Result<()> {
/// if let Some(status) = client.get_status(id).send()? {
///     if status.runtime_status == RuntimeStatus::Completed {
///         let greetings: Vec<String> = status.output()?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// The orchestrator function.
    pub name: String,
    /// The instance id.
    pub instance_id: String,
    /// The version label it was started with.
    pub version: Option<String>,
    /// What it is up to.
    pub runtime_status: RuntimeStatus,
    /// When this instance id was started.
    pub created_time: Timestamp,
    /// When it last got any further.
    pub last_updated_time: Timestamp,
    /// The instance that called it as a sub-orchestration.
    pub parent_instance_id: Option<String>,
    /// Names and values it was started with.
    pub tags: Vec<(String, String)>,
    /// The text of the input; see [`InstanceStatus::input`].
    pub input_json: Option<String>,
    /// The text of the custom status; see [`InstanceStatus::custom_status`].
    pub custom_status_json: Option<String>,
    /// The text of the output; see [`InstanceStatus::output`].
    pub output_json: Option<String>,
    /// The text of the history, if it was asked for: a JSON array; see [`InstanceStatus::history`].
    pub history_json: Option<String>,
}

impl InstanceStatus {
    /// The input of the current execution. Fails if it is not what `T` expects; if it was not asked for, there is none.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        self.part(self.input_json.as_deref(), "input")
    }

    /// What the orchestrator shows of its progress. Fails if it is not what `T` expects.
    pub fn custom_status<T: DeserializeOwned>(&self) -> Result<T> {
        self.part(self.custom_status_json.as_deref(), "custom status")
    }

    /// The result; the error's text if it failed, the reason if it was terminated or is suspended. Fails if that is not
    /// what `T` expects.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T> {
        self.part(self.output_json.as_deref(), "output")
    }

    /// The history events as the management API shows them; empty if they were not asked for.
    pub fn history(&self) -> Result<Vec<serde_json::Value>> {
        let events: Option<_> = self.part(self.history_json.as_deref(), "history")?;
        Ok(events.unwrap_or_default())
    }

    fn part<T: DeserializeOwned>(&self, text: Option<&str>, what: &str) -> Result<T> {
        decode(text, || format!("the {what} of the instance {:?}", self.instance_id))
    }
}

/// The JSON of the management API: the same fields in the same order (http-api.md 4).
impl Serialize for InstanceStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only serializers that need the number of fields beforehand look at it; JSON does not.
        let mut status = serializer.serialize_struct("InstanceStatus", 11)?;
        status.serialize_field("name", &self.name)?;
        optional(&mut status, "version", self.version.as_ref())?;
        status.serialize_field("instanceId", &self.instance_id)?;
        status.serialize_field("runtimeStatus", &self.runtime_status)?;
        status.serialize_field("input", &payload(self.input_json.as_deref()))?;
        status.serialize_field("customStatus", &payload(self.custom_status_json.as_deref()))?;
        status.serialize_field("output", &payload(self.output_json.as_deref()))?;
        status.serialize_field("createdTime", &whole_seconds(self.created_time))?;
        status.serialize_field("lastUpdatedTime", &whole_seconds(self.last_updated_time))?;
        optional(&mut status, "parentInstanceId", self.parent_instance_id.as_ref())?;
        optional(&mut status, "historyEvents", payload(self.history_json.as_deref()).as_ref())?;
        status.end()
    }
}

fn optional<S: SerializeStruct, T: Serialize>(
    status: &mut S,
    name: &'static str,
    value: Option<&T>,
) -> Result<(), S::Error> {
    match value {
        Some(value) => status.serialize_field(name, value),
        None => status.skip_field(name),
    }
}

/// The text as it is, so that numbers and the order of fields stay as they were stored. The host lets nothing in that
/// is not JSON.
fn payload(text: Option<&str>) -> Option<&RawValue> {
    serde_json::from_str(text?).ok()
}

fn whole_seconds(time: Timestamp) -> String {
    let mut text = time.to_string();
    text.truncate("2024-01-01T00:00:00".len());
    text + "Z"
}

impl From<wit::Status> for InstanceStatus {
    fn from(status: wit::Status) -> Self {
        Self {
            name: status.name,
            instance_id: status.instance_id,
            version: status.version,
            runtime_status: status.runtime_status,
            created_time: time(&status.created_time),
            last_updated_time: time(&status.last_updated_time),
            parent_instance_id: status.parent_instance_id,
            tags: status.tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
            input_json: status.input,
            custom_status_json: status.custom_status,
            output_json: status.output,
            history_json: status.history,
        }
    }
}

fn time(text: &str) -> Timestamp {
    match text.parse() {
        Ok(time) => time,
        Err(error) => panic!("the host's clock is broken: {error}"),
    }
}

/// The URLs by which others manage an instance, ready to be given away: they hold what opens this instance and nothing
/// else. With serde it is the JSON that the management API answers a start with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ManagementPayload {
    /// The instance id.
    pub id: String,
    /// GET: the status.
    pub status_query_get_uri: String,
    /// POST: raises the event that replaces `{eventName}`.
    pub send_event_post_uri: String,
    /// POST: terminates it; `{text}` is to be replaced by the reason, as in the URLs below.
    pub terminate_post_uri: String,
    /// POST: rewinds it.
    pub rewind_post_uri: String,
    /// DELETE: purges it.
    pub purge_history_delete_uri: String,
    /// POST: starts it anew.
    pub restart_post_uri: String,
    /// POST: suspends it.
    pub suspend_post_uri: String,
    /// POST: resumes it.
    pub resume_post_uri: String,
}

impl ManagementPayload {
    /// The same URLs on another scheme and host: those by which a client has reached this server
    /// ([`HttpRequest::origin`](crate::HttpRequest::origin)).
    #[must_use]
    pub fn at_origin(mut self, to: &str) -> Self {
        // As a rule the host has made them for the request that is answered.
        if begins_at(&self.status_query_get_uri, to) {
            return self;
        }
        for uri in [
            &mut self.status_query_get_uri,
            &mut self.send_event_post_uri,
            &mut self.terminate_post_uri,
            &mut self.rewind_post_uri,
            &mut self.purge_history_delete_uri,
            &mut self.restart_post_uri,
            &mut self.suspend_post_uri,
            &mut self.resume_post_uri,
        ] {
            if let Some(length) = origin(uri).map(str::len) {
                uri.replace_range(..length, to);
            }
        }
        self
    }
}

/// Whether a URL has this scheme and host.
pub(super) fn begins_at(url: &str, origin: &str) -> bool {
    url.strip_prefix(origin).is_some_and(|rest| rest.starts_with('/'))
}

impl From<wit::ManagementPayload> for ManagementPayload {
    fn from(payload: wit::ManagementPayload) -> Self {
        Self {
            id: payload.id,
            status_query_get_uri: payload.status_query_get_uri,
            send_event_post_uri: payload.send_event_post_uri,
            terminate_post_uri: payload.terminate_post_uri,
            rewind_post_uri: payload.rewind_post_uri,
            purge_history_delete_uri: payload.purge_history_delete_uri,
            restart_post_uri: payload.restart_post_uri,
            suspend_post_uri: payload.suspend_post_uri,
            resume_post_uri: payload.resume_post_uri,
        }
    }
}
