"""Timers and events."""

import asyncio
import time
from datetime import datetime, timedelta, timezone

import durawasm as df

functions = df.Blueprint()
orchestrator = functions.orchestration_trigger(context_name="context")


def _millis(context):
    return context.current_utc_datetime + timedelta(milliseconds=context.get_input())


@orchestrator
def TimersInOrder(context):
    timers = [context.create_timer(timedelta(milliseconds=millis)) for millis in context.get_input()]
    order = []
    for _ in timers:
        first = yield context.task_any([timer for timer in timers if not timer.is_completed])
        order.append(context.get_input()[timers.index(first)])
    return order


@orchestrator
def CanceledTimer(context):
    context.create_timer(timedelta(days=1)).cancel()
    yield context.create_timer(datetime(1970, 1, 1, tzinfo=timezone.utc))
    return "done"


def micros(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"


@orchestrator
def StdSleep(context):
    before = datetime.now(timezone.utc)
    time.sleep(context.get_input() / 1000)
    return [micros(before), micros(datetime.now(timezone.utc))]


@functions.orchestration_trigger(context_name="context", orchestration="StdSleep async")
async def asyncio_sleep(context):
    before = datetime.now(timezone.utc)
    await asyncio.sleep(context.get_input() / 1000)
    return [micros(before), micros(datetime.now(timezone.utc))]


@orchestrator
def Event(context):
    return (yield context.wait_for_external_event(context.get_input()))


@orchestrator
def EventOrTimeout(context):
    event = context.wait_for_external_event("Approval")
    timer = context.create_timer(_millis(context))
    if (yield context.task_any([event, timer])) is timer:
        event.cancel()
        return "timed out"
    timer.cancel()
    return {"event": event.result}


@functions.orchestration_trigger(context_name="context", orchestration="EventOrTimeout async")
async def event_or_timeout(context):
    try:
        approval = context.wait_for_external_event("Approval")
        return {"event": await asyncio.wait_for(approval, context.get_input() / 1000)}
    except TimeoutError:
        return "timed out"


@orchestrator
def RaceLoop(context):
    fired = 0
    while True:
        event = context.wait_for_external_event("Tick")
        timer = context.create_timer(_millis(context))
        if (yield context.task_any([event, timer])) == event:
            return [fired, event.result]
        fired += 1
        context.set_custom_status({"fired": fired})


@orchestrator
def CollectEvents(context):
    events = []
    while len(events) < context.get_input():
        events.append((yield context.wait_for_external_event("Item")))
    return events


@functions.orchestration_trigger(context_name="context", orchestration="TwoWaiters")
async def two_waiters(context):
    older = context.wait_for_external_event("Item")
    newer = context.wait_for_external_event("ITEM")
    return await asyncio.gather(older, newer)
