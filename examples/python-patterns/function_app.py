"""Patterns in Python: fan-out, human interaction, functions of another app, client functions over HTTP and by a schedule."""

import asyncio
import logging

import azure.durable_functions as df
import azure.functions as func
import durawasm

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


# Fan-out: all at once, then what they come to.


@app.orchestration_trigger(context_name="context")
def Py_FanOut(context: df.DurableOrchestrationContext):
    squares = yield context.task_all([context.call_activity(Py_Square, n) for n in range(1, context.get_input() + 1)])
    return sum(squares)


@app.activity_trigger(input_name="n")
def Py_Square(n: int) -> int:
    return n * n


# Human interaction: a decision from outside, or none in time.


@app.orchestration_trigger(context_name="context")
async def Py_Approval(context: df.DurableOrchestrationContext):
    request = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5000, max_number_of_attempts=3)
    await context.call_activity_with_retry(Py_AskForApproval, retry, request["what"])
    context.set_custom_status("waiting for the event Approval")
    try:
        approved = await asyncio.wait_for(context.wait_for_external_event("Approval"), request["seconds"])
    except TimeoutError:
        return "expired"
    return "approved" if approved else "rejected"


@app.activity_trigger(input_name="what")
def Py_AskForApproval(what: str, context: durawasm.ActivityContext) -> None:
    links = df.DurableOrchestrationClient().create_http_management_payload(context.instance_id)
    logging.info("%s? Decide at %s", what, links["sendEventPostUri"].replace("{eventName}", "Approval"))


# Other apps of the hub: E1_SayHello and E1_HelloSequence are written in Rust (examples/hello-cities).


@app.orchestration_trigger(context_name="context")
def Py_CallsRust(context: df.DurableOrchestrationContext):
    greeting = yield context.call_activity("E1_SayHello", context.get_input())
    cities = yield context.call_sub_orchestrator("E1_HelloSequence")
    return [greeting, *cities]


# Clients. The start itself decides whether an id is free: to ask before would leave a gap.


@app.route(route="python/orchestrators/{functionName}/{instanceId?}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def Py_HttpStart(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    name, chosen = req.route_params["functionName"], req.route_params.get("instanceId")
    try:
        instance_id = await client.start_new(name, chosen, req.get_body())
    except durawasm.InstanceAlreadyExistsError as taken:
        return func.HttpResponse(str(taken), status_code=409)
    logging.info("Started orchestration with ID = '%s'.", instance_id)
    return client.create_check_status_response(req, instance_id)


@app.route(route="python/run/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def Py_HttpSyncStart(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new(req.route_params["functionName"], client_input=req.get_body())
    millis = 1000 * float(req.params.get("timeout", 10))
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id, millis, min(millis, 1000))


@app.route(route="python/instances", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def Py_Instances(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    status = [req.params["status"]] if "status" in req.params else None
    found = await client.get_status_by(runtime_status=status)
    return {"body": [{"id": one.instance_id, "name": one.name, "status": one.runtime_status} for one in found]}


# Every night at three (UTC).


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@app.durable_client_input(client_name="client")
async def Py_Nightly(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    logging.info("squares%s", ", late" if timer.past_due else "")
    await client.start_new("Py_FanOut", client_input=100)
