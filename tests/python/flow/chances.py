"""What else the context can do."""

import logging
import random
import secrets
import sys
import time
import uuid
from datetime import datetime, timezone

import durawasm as df

functions = df.Blueprint()
orchestrator = functions.orchestration_trigger(context_name="context")


@orchestrator
def Custom(context):
    for step in range(context.get_input() or 0):
        context.set_custom_status({"step": step})
        yield context.wait_for_external_event("Next")
    context.set_custom_status("finished")


@orchestrator
def ContinueAsNew(context):
    left, done = context.get_input()
    if left == 0:
        return done
    yield context.call_activity("Square", left)
    context.set_custom_status({"left": left})
    context.continue_as_new([left - 1, done + 1], keep_events=True)


@functions.orchestration_trigger(context_name="context", orchestration="Eternal")
async def eternal(context):
    keep, total = context.get_input()
    number = await context.wait_for_external_event("Add")
    if number == 0:
        return total
    context.continue_as_new([keep, total + number], keep_events=keep)


@orchestrator
def Guids(context):
    seen = [_chances(context)]
    if context.get_input():
        yield context.wait_for_external_event("Go")
    seen.append((yield context.call_activity("Echo", _chances(context))))
    return seen


def _chances(context):
    return {
        "first": context.new_uuid(),
        "second": str(context.new_guid()),
        "now": context.current_utc_datetime.isoformat(),
        "systemTime": datetime.now(timezone.utc).isoformat(),
        "time": time.time(),
        "random": [random.random(), random.randint(0, 1 << 60), random.Random().random()],
        "secrets": secrets.token_hex(),
        "uuid4": str(uuid.uuid4()),
        "hashOrder": "".join({"a", "b", "c", "d", "e", "f", "g", "h"}),
    }


@orchestrator
def Chance(context):
    """What the standard library's chance, clock and sleep are like, in words that are the same for all languages."""
    drawn, began = _draw(), datetime.now(timezone.utc)
    time.sleep(1.5)
    slept = (datetime.now(timezone.utc) - began).total_seconds() >= 1.5
    clock = datetime.now(timezone.utc) == context.current_utc_datetime
    told = yield context.call_activity("Echo", {"clock": clock, "slept": slept})
    return [told, _draw() != drawn]


def _draw():
    return [random.random(), str(uuid.uuid4()), secrets.token_hex()]


@orchestrator
def Identity(context):
    return {
        "instanceId": context.instance_id,
        "executionId": context.execution_id,
        "parentInstanceId": context.parent_instance_id,
        "name": context.name,
        "version": context.version,
        "tags": [list(tag) for tag in context.tags.items()],
    }


@orchestrator
def Logs(context):
    logging.debug("a debug line")
    logging.info("an info line")
    yield context.call_activity("LogLine", "an activity's line")
    logging.getLogger("app").warning("a warn line")
    try:
        int("seven")
    except ValueError:
        logging.exception("the reason")
    print("printed after")
    print("an error line", file=sys.stderr)


@orchestrator
def SendEvent(context):
    target, name, data = context.get_input()
    context.send_event(target, name, data)
