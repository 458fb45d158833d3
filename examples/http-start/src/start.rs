//! Starts.

use durawasm::prelude::*;

/// Starts any orchestration with the body as its input and says where to ask for it.
#[durawasm::http(name = "HttpStart", route = "orchestrators/{functionName}", methods = ["POST"])]
pub fn http_start(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let function = request.require_param("functionName")?;
    match ctx.client().start_new(function).input_json(request.text()?).send() {
        Ok(id) => {
            durawasm::info!(ctx, "Started orchestration with ID = '{id}'.");
            Ok(ctx.client().create_check_status_response(&request, &id))
        }
        Err(error) => Ok(error.into()),
    }
}

/// A singleton: refused as long as the instance of that id goes on; once it has ended, it starts anew.
#[durawasm::http(name = "HttpStartSingle", route = "orchestrators/{functionName}/{instanceId}", methods = ["POST"])]
pub fn http_start_single(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    start_single(ctx, &request, Reuse::Terminal)
}

/// A singleton for ever: refused if there is an instance of that id at all, whatever became of it.
#[durawasm::http(
    name = "HttpStartOnce",
    route = "orchestrators/{functionName}/{instanceId}/once",
    methods = ["POST"]
)]
pub fn http_start_once(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    start_single(ctx, &request, Reuse::Never)
}

/// To ask for the status first and start then would leave a gap in which another request can start it, too. The start
/// itself decides, in one step: of simultaneous requests one starts it, and all others are told 409.
fn start_single(ctx: FunctionContext, request: &HttpRequest, reuse: Reuse) -> Result<HttpResponse> {
    let id = request.require_param("instanceId")?;
    let function = request.require_param("functionName")?;
    let start = ctx.client().start_new(function).instance_id(id).reuse(reuse).input_json(request.text()?);
    match start.send() {
        Ok(id) => {
            durawasm::info!(ctx, "Started orchestration with ID = '{id}'.");
            Ok(ctx.client().create_check_status_response(request, &id))
        }
        Err(ClientError::AlreadyExists(_)) => {
            Ok(HttpResponse::new(409).text(format!("An instance with ID '{id}' already exists.")))
        }
        Err(error) => Ok(error.into()),
    }
}

/// Starts an orchestration and answers with its output if it ends within `timeout` seconds.
#[durawasm::http(
    name = "HttpSyncStart",
    route = "orchestrators/{functionName}/wait",
    methods = ["POST"],
    auth = "anonymous"
)]
pub fn http_sync_start(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let timeout = seconds(&request, "timeout", 10.0)?;
    let interval = seconds(&request, "retryInterval", 1.0)?;
    if interval > timeout {
        return Err(Error::bad_request("retryInterval is above timeout"));
    }
    let (client, function) = (ctx.client(), request.require_param("functionName")?);
    let started = client.start_new(function).input_json(request.text()?).send();
    let answer = started
        .and_then(|id| client.wait_for_completion_or_create_check_status_response(&request, &id, timeout, interval));
    Ok(answer.unwrap_or_else(HttpResponse::from))
}

/// A value of the query in seconds.
fn seconds(request: &HttpRequest, name: &str, otherwise: f64) -> Result<Duration> {
    let seconds = match request.query(name) {
        Some(text) => text.parse().ok(),
        None => Some(otherwise),
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| Error::bad_request(format!("{name} is a number of seconds, 0 or more")))
}
