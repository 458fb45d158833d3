"""The runner itself, and what orchestrators see of tasks."""

import asyncio
import json
import random
import time
from datetime import timedelta

import durawasm as df
import pytest
from durawasm import _guest
from durawasm.testing import Event, NonDeterminismError, Runner

app = df.DFApp()
orchestrator = app.orchestration_trigger(context_name="context")


@orchestrator
def Sequence(context):
    greetings = []
    for city in context.get_input():
        greetings.append((yield context.call_activity(SayHello, city)))
    return greetings


@app.activity_trigger(input_name="city")
def SayHello(city):
    if not city:
        raise ValueError("a city needs a name")
    return f"Hello {city}!"


@orchestrator
def Approval(context):
    event = context.wait_for_external_event("Approval")
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    if (yield context.task_any([event, timer])) == timer:
        return "expired"
    timer.cancel()
    return event.result


@app.orchestration_trigger(context_name="context", orchestration="Approval async")
async def approval(context):
    try:
        return await asyncio.wait_for(context.wait_for_external_event("approval"), 3600)
    except TimeoutError:
        return "expired"


@orchestrator
def Dice(context):
    yield context.call_activity(SayHello, str(random.random()))


@orchestrator
def Countdown(context):
    left = context.get_input()
    yield context.create_timer(timedelta(days=1))
    if left:
        context.continue_as_new(left - 1)
    return left


@orchestrator
def Unwritable(context):
    yield context.call_activity(SayHello, {"when": context.current_utc_datetime})


@app.orchestration_trigger(context_name="context", orchestration="Gather")
async def gather(context):
    calls = (context.call_activity(SayHello, city) for city in context.get_input())
    await asyncio.sleep(10)
    return await asyncio.gather(*calls, return_exceptions=False)


def test_activities_run_in_their_order():
    result = Runner(app).run("Sequence", ["Tokyo", "London"])
    assert result.output == ["Hello Tokyo!", "Hello London!"]
    assert result.activities("SayHello") == ["Tokyo", "London"]


def test_activities_can_be_replaced_and_fail():
    result = Runner(app, activities={"SayHello": str.upper}).run("Sequence", ["Tokyo"])
    assert result.output == ["TOKYO"]
    error = Runner(app).run("Sequence", [""]).error
    assert isinstance(error, df.TaskFailedError)
    assert (error.error_type, str(error)) == ("ValueError", "a city needs a name")
    assert "in SayHello" in error.stack_trace


@pytest.mark.parametrize("name", ["Approval", "Approval async"])
def test_an_event_comes_or_the_time_is_up(name):
    began = time.monotonic()
    assert Runner(app).run(name).output == "expired"
    in_time = Event("Approval", {"by": "Ada"}, after=timedelta(minutes=59))
    assert Runner(app).run(name, events=[in_time]).output == {"by": "Ada"}
    late = Event("Approval", True, after=timedelta(hours=2))
    assert Runner(app).run(name, events=[late]).output == "expired"
    assert time.monotonic() - began < 5


def test_what_is_not_deterministic_is_found():
    with pytest.raises(NonDeterminismError, match="its call 1"):
        Runner(app).run("Dice")


def test_executions_follow_each_other():
    assert Runner(app).run("Countdown", 3).output == 0


def test_values_that_are_not_json_are_named():
    error = Runner(app).run("Unwritable").error
    assert isinstance(error, df.NotJsonError)
    assert str(error) == (
        "the input of activity 'SayHello' is not JSON: there is a datetime at when: pass value.isoformat()"
    )


def test_gather_fails_with_the_first_failure():
    assert Runner(app).run("Gather", ["a", "b"]).output == ["Hello a!", "Hello b!"]
    assert str(Runner(app).run("Gather", ["a", ""]).error) == "a city needs a name"


def test_tasks_have_a_host():
    with pytest.raises(RuntimeError, match="durawasm.testing"):
        df.DurableOrchestrationClient().start_new("Sequence")


@orchestrator
def WaitsForACancelledTimer(context):
    timer = context.create_timer(timedelta(hours=1))
    timer.cancel()
    yield timer


@orchestrator
def ForgetsToWait(context):
    return {"greeting": context.call_activity(SayHello, "Tokyo")}


@app.orchestration_trigger(context_name="context", orchestration="Exits")
async def exits(context):
    await context.call_activity(SayHello, "Tokyo")
    task = asyncio.ensure_future(context.wait_for_external_event("Never"))
    await asyncio.sleep(1)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "given up"


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("WaitsForACancelledTimer", df.Stalled, "it has cancelled"),
        ("ForgetsToWait", df.NotJsonError, "an AtomicTask at greeting: wait for it"),
    ],
)
def test_mistakes_are_named(name, kind, text):
    error = Runner(app).run(name).error
    assert isinstance(error, kind) and text in str(error)


def test_what_is_cancelled_is_given_up():
    assert Runner(app).run("Exits").output == "given up"


def test_retries_are_counted_and_take_their_time():
    attempts = []

    def fails_twice(city):
        attempts.append(city)
        if len(attempts) < 3:
            raise RuntimeError("not yet")
        return city

    flaky = df.DFApp()

    @flaky.orchestration_trigger(context_name="context")
    def Flaky(context):
        return (yield context.call_activity_with_retry("Hard", df.RetryOptions(1000, 5, 2.0), "x"))

    result = Runner(flaky, activities={"Hard": fails_twice}, activity_time=timedelta(0)).run("Flaky")
    assert (result.output, len(attempts)) == ("x", 3)
    assert result.ended.second == 3


def test_declarations_are_checked():
    wrong = df.DFApp()

    @wrong.activity_trigger(input_name="x")
    def Unbound(y):
        return y

    with pytest.raises(ValueError, match="'Unbound' has no parameter 'x'"):
        wrong.functions()
    with pytest.raises(ValueError, match="two triggers: activity and http"):
        wrong.route(route="x")(Unbound)


@orchestrator
def Fetches(context):
    asked = [context.call_http("get", f"http://localhost/{n}") for n in range(2)]
    made = yield context.call_http("POST", "http://localhost/jobs", {"a": 1}, retry_options=df.RetryOptions(1000, 2))
    answers = yield context.task_all(asked)
    return [made["statusCode"], *(answer["content"] for answer in answers)]


def test_http_calls_are_answered_and_tried_again():
    asked = []

    def answer(method, uri, body):
        asked.append((method, uri, body))
        busy = method == "POST" and sum(one[0] == "POST" for one in asked) == 1
        return {"statusCode": 503 if busy else 200, "headers": {}, "content": uri[-1]}

    result = Runner(app, http=answer).run("Fetches")
    assert result.output == [200, "0", "1"]
    assert asked.count(("POST", "http://localhost/jobs", b'{"a":1}')) == 2
    assert "nothing answers" in str(Runner(app).run("Fetches").error)


@orchestrator
def Family(context):
    kid = context.call_sub_orchestrator("Kid", 7, f"{context.instance_id}-kid", "2.0", tags={"a": "b"})
    return [context.version, context.tags, (yield kid), context.current_utc_datetime.isoformat()]


@orchestrator
def Kid(context):
    yield context.create_timer(timedelta(hours=1))
    event = yield context.wait_for_external_event("Go")
    return [context.instance_id, context.parent_instance_id, context.version, context.tags, context.get_input(), event]


def test_children_have_ids_events_and_their_parents_time():
    events = {"top-kid": [Event("Go", "now", after=timedelta(hours=2))]}
    result = Runner(app, activity_time=timedelta(0)).run(
        "Family", instance_id="top", version="1.0", tags={"x": "y"}, child_events=events
    )
    kid = ["top-kid", "top", "2.0", {"a": "b"}, 7, "now"]
    assert result.output == ["1.0", {"x": "y"}, kid, "2026-01-01T02:00:00+00:00"]


@app.activity_trigger(input_name="parts")
def Uploads(parts, context: df.ActivityContext):
    done = context.last_heartbeat or 0
    context.heartbeat(done + 1)
    if done + 1 < parts:
        raise RuntimeError(f"{done + 1} of {parts}")
    return [context.attempt, context.instance_id, done + 1]


@orchestrator
def Uploading(context):
    return (yield context.call_activity_with_retry(Uploads, df.RetryOptions(1000, 5), 3))


def test_activities_know_their_call():
    assert Runner(app).run("Uploading", instance_id="up").output == [3, "up", 3]


@orchestrator
def Sums(context):
    keep, total = context.get_input()
    context.create_timer(timedelta(hours=1))
    number = yield context.wait_for_external_event("Add")
    if number == 0:
        return [total, context.current_utc_datetime.hour]
    context.continue_as_new([keep, total + number], keep_events=keep)


def test_the_next_execution_has_the_time_and_the_events():
    at = lambda hours, number: Event("Add", number, after=timedelta(hours=hours))  # noqa: E731
    events = [at(1, 5), at(2, 6), at(3, 0)]
    assert Runner(app).run("Sums", [True, 0], events=events).output == [11, 3]


def test_timer_functions_tell_all_of_their_schedule():
    timers = df.DFApp()

    @timers.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=True, use_monitor=False)
    def Often(timer): ...

    [(name, kind, config)] = _guest.declared(timers)
    assert (name, kind.value) == ("Often", "timer")
    assert json.loads(config) == {"schedule": "0 */5 * * * *", "useMonitor": False, "runOnStartup": True}
    with pytest.raises(ValueError, match="six fields"):
        timers.timer_trigger(schedule="*/5 * * * *")
