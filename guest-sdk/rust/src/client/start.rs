//! Starts with options.

use serde::Serialize;

use super::host;
use crate::bindings::durable::functions::client as wit;
use crate::bindings::durable::functions::types::Tag;
use crate::client::ClientError;
use crate::payload::encode;
use crate::{Reuse, Timestamp};

/// A start of an orchestration being put together; see
/// [`DurableClient::start_new`](crate::DurableClient::start_new).
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `send`"]
pub struct StartNew {
    name: String,
    input: Result<Option<String>, ClientError>,
    options: wit::StartOptions,
}

impl StartNew {
    pub(crate) fn new(name: &str) -> Self {
        let options = wit::StartOptions {
            instance_id: None,
            version: None,
            tags: vec![],
            reuse: Reuse::Terminal,
            scheduled_at: None,
        };
        Self { name: name.to_owned(), input: Ok(None), options }
    }

    /// What the orchestrator gets.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.input = encode(&input).map_err(|error| ClientError::unwritable(&error));
        self
    }

    /// What the orchestrator gets, as JSON that is text already, such as the body of a request; nothing but blanks is no
    /// input. The host refuses what is not JSON.
    pub fn input_json(mut self, json: impl Into<String>) -> Self {
        let json = json.into();
        self.input = Ok((!json.trim_ascii().is_empty()).then_some(json));
        self
    }

    /// The instance id; without it a new one.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.options.instance_id = Some(id.into());
        self
    }

    /// What to do about an instance that has the id already; without it one that has ended is replaced, any other
    /// refused ([`Reuse::Terminal`]). Decided in one step: of simultaneous starts one wins.
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.options.reuse = reuse;
        self
    }

    /// The version label; without it the app's own.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.options.version = Some(version.into());
        self
    }

    /// A name and a value that the instance carries.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.tags.push(Tag { name: name.into(), value: value.into() });
        self
    }

    /// When it starts; until then it is pending. Without it: now.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.options.scheduled_at = Some(time.to_string());
        self
    }

    /// Starts it and returns its instance id; then the start is durable.
    pub fn send(self) -> Result<String, ClientError> {
        Ok(host::start_new(&self.name, self.input?.as_deref(), &self.options)?)
    }

    pub(crate) fn into_request(self) -> Result<wit::StartRequest, ClientError> {
        Ok(wit::StartRequest { name: self.name, input: self.input?, options: self.options })
    }
}
