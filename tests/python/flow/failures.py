"""Failures and retries."""

import asyncio
import json
from datetime import timedelta

import durawasm as df

functions = df.Blueprint()
orchestrator = functions.orchestration_trigger(context_name="context")


@orchestrator
def ActivityFails(context):
    return (yield context.call_activity("Fail", context.get_input()))


@orchestrator
def Catches(context):
    try:
        yield context.call_activity("Fail", True)
        return "it did not fail"
    except df.TaskFailedError as error:
        return {
            "causes": [cause.message for cause in error.causes],
            "errorType": error.error_type,
            "message": error.message,
            "nonRetriable": error.non_retriable,
            "properties": json.dumps(error.properties, separators=(",", ":")),
        }


@orchestrator
def ChildFails(context):
    return (yield context.call_sub_orchestrator("ActivityFails"))


@orchestrator
def UnknownActivity(context):
    return (yield context.call_activity("NobodyDeclaresThis"))


@orchestrator
def ActivityTimesOut(context):
    millis, limit = context.get_input()
    return (yield context.call_activity("Sleep", millis, timeout=timedelta(milliseconds=limit)))


@orchestrator
def Retry(context):
    given = {"first_millis": 10, "backoff": 1.0, **context.get_input()}
    options = df.RetryOptions(given["first_millis"], given["max_attempts"], given["backoff"])
    return (yield context.call_activity_with_retry("FailUntil", options, given["k"]))


@orchestrator
def ResumesHalfway(context):
    return (yield context.call_activity_with_retry("Resumes", df.RetryOptions(10, 2), context.get_input()))


@orchestrator
def RetryPredicate(context):
    """Attempts that the code decides about: single calls in a loop."""
    asked = 0
    while True:
        asked += 1
        try:
            yield context.call_activity("Fail")
        except df.TaskFailedError as error:
            if error.error_type != "DiskError" or asked > context.get_input():
                return asked
        yield context.create_timer(timedelta(milliseconds=5))


@functions.orchestration_trigger(context_name="context", orchestration="Stalls")
async def stalls(context):
    await asyncio.get_running_loop().create_future()


@orchestrator
def Raises(context):
    try:
        yield context.call_activity("Raise")
    except df.TaskFailedError:
        raise LookupError("the order has no amount")


@orchestrator
def FailsFast(context):
    never = context.wait_for_external_event("Never")
    yield context.task_all([never, context.call_activity("RaiseOwn")])


@orchestrator
def YieldsAList(context):
    yield [context.call_activity("Echo", 1)]


@orchestrator
def OutputNotJson(context):
    yield context.call_activity("Echo", 1)
    return {"when": context.current_utc_datetime}


@orchestrator
def CallsTheClient(context):
    df.DurableOrchestrationClient().start_new("Sequence")
    yield context.call_activity("Echo", 1)
