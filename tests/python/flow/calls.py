"""Activities and sub-orchestrations in all arrangements, as generators and as coroutines."""

import asyncio
from datetime import timedelta

import durawasm as df

functions = df.Blueprint()
orchestrator = functions.orchestration_trigger(context_name="context")


@orchestrator
def Sequence(context: df.DurableOrchestrationContext):
    echoes = []
    for item in context.get_input() or ["Tokyo", "Seattle", "London"]:
        echoes.append((yield context.call_activity("Echo", item)))
    return echoes


@functions.orchestration_trigger(context_name="context", orchestration="Sequence async")
async def sequence(context):
    return [await context.call_activity("Echo", item) for item in context.get_input() or ["Tokyo", "Seattle", "London"]]


@orchestrator
def OneActivity(context):
    name, value = context.get_input()
    return (yield context.call_activity(name, value))


@orchestrator
def FanOut(context):
    squares = yield context.task_all([context.call_activity("Square", i) for i in range(1, context.get_input() + 1)])
    return sum(squares)


@functions.orchestration_trigger(context_name="context", orchestration="FanOut async")
async def fan_out(context):
    calls = (context.call_activity("Square", i) for i in range(1, context.get_input() + 1))
    return sum(await asyncio.gather(*calls))


@functions.orchestration_trigger(context_name="context", orchestration="JoinMixed")
async def join_mixed(context):
    activity = context.call_activity("Echo", "a")
    timer = context.create_timer(timedelta(milliseconds=20))
    child = context.call_sub_orchestrator("Child", 3)
    group = context.task_all([context.call_activity("Square", n) for n in (1, 2, 3)])
    activity, _, child, group = await asyncio.gather(activity, timer, child, group)
    return {"activity": activity, "child": child, "group": group}


@orchestrator
def Race(context):
    sleeps = [context.call_activity("Sleep", millis) for millis in context.get_input()]
    first = yield context.task_any(sleeps)
    return [sleeps.index(first), first.result]


@orchestrator
def SelectAll(context):
    sleeps = [context.call_activity("Sleep", millis) for millis in context.get_input()]
    order = []
    while sleeps:
        first = yield context.task_any(sleeps)
        sleeps.remove(first)
        order.append(first.result)
    return order


@functions.orchestration_trigger(context_name="context", orchestration="SelectAll async")
async def select_all(context):
    sleeps = [context.call_activity("Sleep", millis) for millis in context.get_input()]
    return [await first for first in asyncio.as_completed(sleeps)]


@orchestrator
def Unheard(context):
    context.call_activity("Sleep", context.get_input())
    context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    return "done"


@orchestrator
def GivesUp(context):
    name, value = context.get_input()
    activity = context.call_activity(name, value)
    yield context.wait_for_external_event("Stop")
    activity.cancel()
    return "given up"


@orchestrator
def Child(context):
    n = context.get_input()
    if n == 0:
        return (yield context.wait_for_external_event("Go"))
    return (yield context.call_activity("Square", n))


@orchestrator
def Parent(context):
    named = f"{context.instance_id}-first"
    children = [
        context.call_sub_orchestrator("Child", n, named if index == 0 else None, tags={"index": str(index)})
        for index, n in enumerate(context.get_input())
    ]
    return (yield context.task_all(children))


@orchestrator
def FireAndForget(context):
    return context.start_sub_orchestrator("Child", context.get_input())


@orchestrator
def Http(context):
    call = context.get_input()
    retry = df.RetryOptions(1000, call["attempts"]) if "attempts" in call else None
    answer = yield context.call_http(
        call.get("method", "get"), call["url"], call.get("body"), call.get("headers"), retry_options=retry
    )
    return [answer["statusCode"], answer["content"]]
