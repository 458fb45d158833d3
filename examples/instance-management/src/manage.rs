//! What is done to instances.

use durawasm::prelude::*;
use serde::Deserialize;
use serde_json::Value;

/// Starts `HelloWorld` by hand.
#[durawasm::manual(name = "HelloWorldManualStart")]
pub fn hello_world_manual_start(ctx: FunctionContext, input: Option<String>) -> Result<()> {
    let id = ctx.client().start_new("HelloWorld").input(input).send()?;
    durawasm::info!(ctx, "Started orchestration with ID = '{id}'.");
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One of several starts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Start {
    function_name: String,
    input: Option<Value>,
    instance_id: Option<String>,
}

/// Starts all that the body lists, or nothing if one of them cannot be started; answers with the ids.
#[durawasm::http(name = "StartMany", methods = ["POST"])]
pub fn start_many(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let (client, starts) = (ctx.client(), request.json::<Vec<Start>>()?);
    let started = client.start_many(starts.into_iter().map(|start| {
        let new = client.start_new(&start.function_name).input(start.input);
        match start.instance_id {
            Some(id) => new.instance_id(id),
            None => new,
        }
    }));
    match started {
        Ok(ids) => HttpResponse::new(202).json(&ids),
        Err(error) => Ok(error.into()),
    }
}

/// Which instance, and how much of it.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// Its status.
    Id(String),
    /// Those of several.
    Several(Vec<String>),
    /// Its status with the history, with or without the results in it.
    #[serde(rename_all = "camelCase")]
    Detailed {
        instance_id: String,
        #[serde(default)]
        show_history: bool,
        #[serde(default)]
        show_history_output: bool,
    },
}

/// Logs the status of an instance, or of several.
#[durawasm::manual(name = "GetStatus")]
pub fn get_status(ctx: FunctionContext, wanted: Wanted) -> Result<()> {
    let client = ctx.client();
    let (ids, found) = match wanted {
        Wanted::Id(id) => (vec![id.clone()], vec![client.get_status(&id).send()?]),
        Wanted::Several(ids) => (ids.clone(), client.get_statuses(ids)?),
        Wanted::Detailed { instance_id, show_history, show_history_output } => {
            let question = client.get_status(&instance_id).show_history(show_history);
            (vec![instance_id], vec![question.show_history_output(show_history_output).send()?])
        }
    };
    for (id, status) in ids.iter().zip(found) {
        match status {
            Some(status) => ctx.info(serde_json::to_string(&status)?),
            None => durawasm::warn!(ctx, "there is no instance '{id}'"),
        }
    }
    Ok(())
}

/// Answers with all instances of the hub, however many there are.
#[durawasm::http(name = "GetAllStatus", methods = ["GET", "POST"], auth = "anonymous")]
pub fn get_all_status(ctx: FunctionContext) -> Result<HttpResponse> {
    let instances = ctx.client().list(InstanceFilter::new()).into_iter().collect::<Result<Vec<_>, _>>()?;
    HttpResponse::new(200).json(&instances)
}

/// Answers with the instances that go on or have completed, of those created between `from` and `to` (without them: of
/// the last day).
#[durawasm::http(name = "QueryStatus", methods = ["GET", "POST"], auth = "anonymous")]
pub fn query_status(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let now = Timestamp::now();
    let filter = InstanceFilter::new()
        .created_from(time(&request, "from")?.unwrap_or(now - DAY))
        .created_to(time(&request, "to")?.unwrap_or(now))
        .status(RuntimeStatus::Completed)
        .status(RuntimeStatus::Running);
    let instances = ctx.client().list(filter).into_iter().collect::<Result<Vec<_>, _>>()?;
    HttpResponse::new(200).json(&instances)
}

/// A value of the query: a time.
fn time(request: &HttpRequest, name: &str) -> Result<Option<Timestamp>> {
    let Some(text) = request.query(name) else { return Ok(None) };
    let time = text.parse().map_err(|error| Error::bad_request(format!("{name} is no time: {error}")))?;
    Ok(Some(time))
}

/// Raises `MyEvent` with `[1,2,3]`; the orchestration `Sum` waits for it.
#[durawasm::manual(name = "RaiseEvent")]
pub fn raise_event(ctx: FunctionContext, instance_id: String) -> Result<()> {
    Ok(ctx.client().raise_event(&instance_id, "MyEvent", [1, 2, 3])?)
}

/// Terminates an instance.
#[durawasm::manual(name = "TerminateInstance")]
pub fn terminate_instance(ctx: FunctionContext, instance_id: String) -> Result<()> {
    Ok(ctx.client().terminate(&instance_id, "It was time to be done.")?)
}

/// Rewinds an instance that has failed.
#[durawasm::manual(name = "RewindInstance")]
pub fn rewind_instance(ctx: FunctionContext, instance_id: String) -> Result<()> {
    Ok(ctx.client().rewind(&instance_id, "Orchestrator failed and needs to be revived.")?)
}

/// Removes one instance that has ended.
#[durawasm::manual(name = "PurgeInstance")]
pub fn purge_instance(ctx: FunctionContext, instance_id: String) -> Result<()> {
    let purged = ctx.client().purge(&instance_id)?;
    durawasm::info!(ctx, "{purged} instances purged");
    Ok(())
}

/// Removes what was created more than so many days ago (without a number: 30) and has ended.
#[durawasm::manual(name = "PurgeHistory")]
pub fn purge_history(ctx: FunctionContext, days: Option<u32>) -> Result<()> {
    let age = days.unwrap_or(30) * DAY;
    let purged = ctx.client().purge_many(&InstanceFilter::new().created_to(Timestamp::now() - age))?;
    durawasm::info!(ctx, "{purged} instances purged");
    Ok(())
}
