//! Client functions: each operation of the durable client.

use std::collections::BTreeMap;

use durawasm::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    name: String,
    instance_id: String,
    input: Value,
    data: Value,
    tags: BTreeMap<String, String>,
    timeout_in_milliseconds: Option<u64>,
    retry_interval_in_milliseconds: Option<u64>,
}

#[durawasm::http(name = "Manage", route = "manage/{operation}/{instanceId?}", auth = "anonymous")]
pub(crate) fn manage(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let (operation, id) = (request.require_param("operation")?, request.param("instanceId").unwrap_or_default());
    let client = ctx.client();
    if operation == "check" {
        return Ok(client.create_check_status_response(&request, id));
    }
    if operation == "startMany" {
        let starts = request.json::<Vec<Body>>()?.into_iter().map(|one| start(client, &one, &one.instance_id));
        return answer(client.start_many(starts).map(|ids| json!(ids)));
    }
    if operation == "hub" {
        return answer(Ok(json!(ctx.hub())));
    }
    let body = request.json::<Option<Body>>()?.unwrap_or_default();
    if operation == "wait" {
        let timeout = Duration::from_millis(body.timeout_in_milliseconds.unwrap_or(10_000));
        let interval = Duration::from_millis(body.retry_interval_in_milliseconds.unwrap_or(1_000));
        return Ok(client.wait_for_completion_or_create_check_status_response(&request, id, timeout, interval)?);
    }
    answer(one(client, operation, id, &body))
}

fn start(client: DurableClient, body: &Body, id: &str) -> durawasm::StartNew {
    let start = client.start_new(&body.name).instance_id(id).reuse(Reuse::Terminal);
    let start = if body.input.is_null() { start } else { start.input(&body.input) };
    body.tags.iter().fold(start, |start, (name, value)| start.tag(name, value))
}

fn one(client: DurableClient, operation: &str, id: &str, body: &Body) -> Result<Value, ClientError> {
    let ids = |filter: InstanceFilter| {
        let listed = client.list(filter).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(json!(listed.into_iter().map(|status| status.instance_id).collect::<Vec<_>>()))
    };
    let purged = |instances: u32| json!({"instancesDeleted": instances});
    let done = |()| Value::Null;
    match operation {
        "start" | "startOld" => start(client, body, id).send().map(Value::from),
        "status" => client.get_status(id).show_history(true).show_history_output(true).send().map(shown),
        "all" => ids(InstanceFilter::new()),
        "by" => ids(InstanceFilter::new().status(RuntimeStatus::Running).status(RuntimeStatus::Pending)),
        "event" => client.raise_event(id, &body.name, &body.data).map(done),
        "terminate" => client.terminate(id, "because").map(done),
        "suspend" => client.suspend(id, "because").map(done),
        "resume" => client.resume(id, "because").map(done),
        "rewind" => client.rewind(id, "because").map(done),
        "restart" => client.restart(id).map(Value::from),
        "purge" => client.purge(id).map(purged),
        "purgeBy" => client.purge_many(&InstanceFilter::new().name(&body.name)).map(purged),
        "payload" => Ok(json!(client.management_payload(id))),
        unknown => Err(ClientError::Invalid(format!("no operation {unknown}"))),
    }
}

fn shown(status: Option<InstanceStatus>) -> Value {
    let Some(status) = status else { return Value::Null };
    let mut fields = json!(status);
    fields["tags"] = status.tags.iter().cloned().collect::<BTreeMap<_, _>>().into_iter().collect();
    fields["history"] = status.history().unwrap_or_default().into();
    fields
}

fn answer(done: Result<Value, ClientError>) -> Result<HttpResponse> {
    let error = match done {
        Ok(value) => return HttpResponse::new(200).json(&value),
        Err(error) => error,
    };
    let code = match &error {
        ClientError::AlreadyExists(_) => "already-exists",
        ClientError::NotFound => "not-found",
        ClientError::NotFailed => "not-failed",
        _ => "other",
    };
    HttpResponse::new(409).json(&json!({"code": code, "message": error.to_string()}))
}
