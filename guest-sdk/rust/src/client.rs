//! The durable client.

mod error;
mod host;
mod list;
mod start;
mod status;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use crate::RuntimeStatus;
use crate::bindings::durable::functions::client as wit;
use crate::http::{HttpRequest, HttpResponse};
use crate::payload::encode;
use crate::retry::millis;

pub use error::ClientError;
pub use list::{InstanceFilter, Instances, ListInstances};
pub use start::StartNew;
use status::begins_at;
pub use status::{InstanceStatus, ManagementPayload};

/// Starts orchestrations of the hub and manages them.
///
/// HTTP, manual and timer functions get it from [`FunctionContext::client`](crate::FunctionContext::client), activities
/// from [`ActivityContext::client`](crate::ActivityContext::client). Orchestrators have calls of their own, which are
/// replayed.
///
/// What a call has acknowledged is durable, and so is what it shows.
///
/// ```no_run
/// use durawasm::prelude::*;
///
/// #[durawasm::http(route = "orchestrators/{functionName}", methods = ["POST"])]
/// fn start(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
///     let client = ctx.client();
///     let id = client.start_new(request.require_param("functionName")?).input_json(request.text()?).send()?;
///     Ok(client.create_check_status_response(&request, &id))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DurableClient {
    /// Made by this crate only.
    _private: (),
}

impl DurableClient {
    pub(crate) fn new() -> Self {
        Self { _private: () }
    }

    /// Starts an orchestration by the name of its function, in this app or another one of the hub.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// let id = client
    ///     .start_new("Backup")
    ///     .input(["db", "files"])
    ///     .instance_id("nightly")
    ///     .reuse(Reuse::Terminal)
    ///     .tag("team", "operations")
    ///     .send()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_new(self, name: &str) -> StartNew {
        StartNew::new(name)
    }

    /// Starts several orchestrations, all or none, and returns their ids in the same order.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// let ids = client.start_many(["Tokyo", "London"].map(|city| client.start_new("Visit").input(city)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_many(self, starts: impl IntoIterator<Item = StartNew>) -> Result<Vec<String>, ClientError> {
        let requests: Vec<_> = starts.into_iter().map(StartNew::into_request).collect::<Result<_, _>>()?;
        Ok(host::start_many(&requests)?)
    }

    /// Asks for an instance.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// match client.get_status("nightly").show_history(true).send()? {
    ///     Some(status) => println!("{} since {}", status.runtime_status, status.created_time),
    ///     None => println!("never started"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_status(self, instance_id: &str) -> GetStatus {
        let parts = wit::Parts { input: true, history: false, history_output: false };
        GetStatus { instance_id: instance_id.to_owned(), parts }
    }

    /// Asks for several instances, each with its input; in their order, and none where there is no such instance.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// let found = client.get_statuses(["nightly", "weekly"])?.into_iter().flatten().count();
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_statuses<I: AsRef<str>>(
        self,
        instance_ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<InstanceStatus>>, ClientError> {
        instance_ids.into_iter().map(|id| self.get_status(id.as_ref()).send()).collect()
    }

    /// All instances that match, however many: it asks the host for one page after the other.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// for status in client.list(InstanceFilter::new().status(RuntimeStatus::Failed)) {
    ///     println!("{}", status?.instance_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(self, filter: InstanceFilter) -> ListInstances {
        ListInstances::new(filter)
    }

    /// Raises an event on an instance. It is kept until the instance waits for it.
    pub fn raise_event(self, instance_id: &str, name: &str, data: impl Serialize) -> Result<(), ClientError> {
        let data = encode(&data).map_err(|error| ClientError::unwritable(&error))?;
        Ok(host::raise_event(instance_id, name, data.as_deref())?)
    }

    /// Ends an instance; the reason, if there is one, becomes its output and goes to its log. Activities that run are not
    /// stopped, and its sub-orchestrations go on.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// client.terminate("nightly", "It was time to be done.")?;
    /// client.terminate("weekly", None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn terminate<'a>(self, instance_id: &str, reason: impl Into<Option<&'a str>>) -> Result<(), ClientError> {
        Ok(host::terminate(instance_id, reason.into(), false)?)
    }

    /// [`DurableClient::terminate`] for an instance and all its sub-orchestrations.
    pub fn terminate_recursive<'a>(
        self,
        instance_id: &str,
        reason: impl Into<Option<&'a str>>,
    ) -> Result<(), ClientError> {
        Ok(host::terminate(instance_id, reason.into(), true)?)
    }

    /// Stops an instance until it is resumed. Activities that run go on; what happens meanwhile is kept. One that is
    /// suspended already stays so.
    pub fn suspend<'a>(self, instance_id: &str, reason: impl Into<Option<&'a str>>) -> Result<(), ClientError> {
        Ok(host::suspend(instance_id, reason.into())?)
    }

    /// Lets a suspended instance go on. One that is not suspended goes on as it did.
    pub fn resume<'a>(self, instance_id: &str, reason: impl Into<Option<&'a str>>) -> Result<(), ClientError> {
        Ok(host::resume(instance_id, reason.into())?)
    }

    /// Sets a failed instance back to before it failed: what failed runs again.
    pub fn rewind<'a>(self, instance_id: &str, reason: impl Into<Option<&'a str>>) -> Result<(), ClientError> {
        Ok(host::rewind(instance_id, reason.into())?)
    }

    /// Starts an instance anew, with the same function, input and tags, under a new id; returns that.
    pub fn restart(self, instance_id: &str) -> Result<String, ClientError> {
        Ok(host::restart(instance_id, true)?)
    }

    /// Starts an instance that has ended anew under its own id, which is returned.
    pub fn restart_in_place(self, instance_id: &str) -> Result<String, ClientError> {
        Ok(host::restart(instance_id, false)?)
    }

    /// Removes an instance that has ended. Returns how many were removed: 0 if there was none.
    pub fn purge(self, instance_id: &str) -> Result<u32, ClientError> {
        Ok(host::purge(instance_id, false)?)
    }

    /// Removes an instance that has ended and its sub-orchestrations. Returns how many were removed.
    pub fn purge_recursive(self, instance_id: &str) -> Result<u32, ClientError> {
        Ok(host::purge(instance_id, true)?)
    }

    /// Removes all instances that match and have ended. Returns how many.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient) -> Result<()> {
    /// let month_ago = Timestamp::now() - Duration::from_secs(30 * 86_400);
    /// client.purge_many(&InstanceFilter::new().created_to(month_ago))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn purge_many(self, filter: &InstanceFilter) -> Result<u32, ClientError> {
        Ok(host::purge_many(filter.as_wit(), false)?)
    }

    /// Removes all instances that match and have ended, and their sub-orchestrations. Returns how many.
    pub fn purge_many_recursive(self, filter: &InstanceFilter) -> Result<u32, ClientError> {
        Ok(host::purge_many(filter.as_wit(), true)?)
    }

    /// Waits until the instance has ended; none: it has not within that time. The answer comes the moment it ends.
    pub fn wait_for_completion(
        self,
        instance_id: &str,
        timeout: Duration,
    ) -> Result<Option<InstanceStatus>, ClientError> {
        Ok(host::wait_for_completion(instance_id, millis(timeout))?.map(Into::into))
    }

    /// Waits until the instance runs or has ended; none: it is still pending after that time.
    pub fn wait_for_start(self, instance_id: &str, timeout: Duration) -> Result<Option<InstanceStatus>, ClientError> {
        Ok(host::wait_for_start(instance_id, millis(timeout))?.map(Into::into))
    }

    /// The URLs by which others manage the instance, on the scheme and host of the request in an HTTP function, elsewhere
    /// on the server's public address. It need not exist yet.
    ///
    /// ```no_run
    /// use durawasm::prelude::*;
    ///
    /// #[durawasm::activity]
    /// fn ask_for_approval(ctx: ActivityContext, to: String) -> Result<()> {
    ///     let links = ctx.client().management_payload(&ctx.instance_id());
    ///     let approve = links.send_event_post_uri.replace("{eventName}", "Approval");
    ///     // … send it …
    ///     Ok(())
    /// }
    /// ```
    pub fn management_payload(self, instance_id: &str) -> ManagementPayload {
        host::create_management_payload(instance_id).into()
    }

    /// What the management API answers a start with: 202, the URL to poll in `Location`, and all URLs in the body, on the
    /// scheme and host of the request.
    pub fn create_check_status_response(self, request: &HttpRequest, instance_id: &str) -> HttpResponse {
        let wit::CheckStatusResponse { location, retry_after, body } = host::create_check_status_response(instance_id);
        // As a rule the host has made them for this request.
        let (location, body) = match request.origin().filter(|origin| !begins_at(&location, origin)) {
            Some(origin) => {
                let links = self.management_payload(instance_id).at_origin(origin);
                // A struct of strings can always be written.
                let body = serde_json::to_string(&links).unwrap_or_default();
                (links.status_query_get_uri, body)
            }
            None => (location, body),
        };
        let response = HttpResponse::new(202).header("Location", location);
        response.header("Retry-After", retry_after.to_string()).json_text(body)
    }

    /// Answers with the output if the instance ends in time, and with where to ask for it if not:
    ///
    /// * completed: 200 with nothing but the output;
    /// * terminated or canceled: 200, failed: 500, with the status as the management API shows it;
    /// * still going on after `timeout` (customary: 10 s): [`DurableClient::create_check_status_response`].
    ///
    /// `interval` (customary: 1 s) is how often others ask meanwhile; here the answer comes the moment the instance ends.
    /// One above `timeout` is an error, as in the other languages.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # fn example(client: DurableClient, request: HttpRequest, id: &str) -> Result<HttpResponse> {
    /// let (timeout, interval) = (Duration::from_secs(10), Duration::from_secs(1));
    /// Ok(client.wait_for_completion_or_create_check_status_response(&request, id, timeout, interval)?)
    /// # }
    /// ```
    pub fn wait_for_completion_or_create_check_status_response(
        self,
        request: &HttpRequest,
        instance_id: &str,
        timeout: Duration,
        interval: Duration,
    ) -> Result<HttpResponse, ClientError> {
        if interval > timeout {
            let (interval, timeout) = (interval.as_secs_f64(), timeout.as_secs_f64());
            let message = format!("the interval ({interval} s) is above the timeout ({timeout} s)");
            return Err(ClientError::Invalid(message));
        }
        let Some(status) = self.wait_for_completion(instance_id, timeout)? else {
            return Ok(self.create_check_status_response(request, instance_id));
        };
        let code = match status.runtime_status {
            RuntimeStatus::Completed => {
                let output = status.output_json.unwrap_or_else(|| "null".to_owned());
                return Ok(HttpResponse::new(200).json_text(output));
            }
            RuntimeStatus::Failed => 500,
            RuntimeStatus::Canceled | RuntimeStatus::Terminated => 200,
            // The host says it has ended; should it not have, there is more to wait for.
            RuntimeStatus::Running
            | RuntimeStatus::ContinuedAsNew
            | RuntimeStatus::Pending
            | RuntimeStatus::Suspended => return Ok(self.create_check_status_response(request, instance_id)),
        };
        HttpResponse::new(code).json(&status).map_err(|error| ClientError::unwritable(&error))
    }
}

/// A question for an instance being put together; see [`DurableClient::get_status`].
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before `send`"]
pub struct GetStatus {
    instance_id: String,
    parts: wit::Parts,
}

impl GetStatus {
    /// Whether the input is wanted; it is unless told otherwise, as in the management API.
    pub fn show_input(mut self, wanted: bool) -> Self {
        self.parts.input = wanted;
        self
    }

    /// Whether the history is wanted; it is not unless told.
    pub fn show_history(mut self, wanted: bool) -> Self {
        self.parts.history = wanted;
        self
    }

    /// Whether the results in the history are wanted; they are not unless told.
    pub fn show_history_output(mut self, wanted: bool) -> Self {
        self.parts.history_output = wanted;
        self
    }

    /// Asks. None: there is no such instance.
    pub fn send(self) -> Result<Option<InstanceStatus>, ClientError> {
        Ok(host::get_status(&self.instance_id, self.parts)?.map(Into::into))
    }
}
