"""The Python SDK's client against a real server.

Reads the client binding (JSON) from standard input, calls every method of `DurableOrchestrationClient` against instances
in every state, and prints one JSON line for each check: {"check": name, "failed": null or what was seen}. The last line
is {"methods": all public methods, "called": those that were called}. The server has the app of `tests/guests/flow`.
"""

import asyncio
import inspect
import json
import sys
import urllib.request
from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions.models.utils import http_utils
from azure.durable_functions.models.utils.entity_utils import EntityId

Status = df.OrchestrationRuntimeStatus
PREFIX = "python-"
REWIND_REFUSED = 'Only orchestrations in the "Failed" state can be rewound.'
# The states an instance can be in, and those in which it has ended.
STATES = ["pending", "running", "suspended", "completed", "failed", "terminated"]
ENDED = ["completed", "failed", "terminated"]

methods_called = set()


class Recorded:
    """Passes every call on to the client and notes which methods were called."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        methods_called.add(name)
        return getattr(self._client, name)


class Checks:
    def __init__(self, binding):
        self.binding = binding
        self.client = Recorded(df.DurableOrchestrationClient(json.dumps(binding)))
        self.made = 0

    def new_id(self, label):
        self.made += 1
        return f"{PREFIX}{label}-{self.made}"

    async def until(self, instance_id, wanted):
        """Waits for a state; gives the status."""
        for _ in range(3000):
            status = await self.client.get_status(instance_id)
            if status.runtime_status == wanted:
                return status
            if status.runtime_status in [Status.Completed, Status.Failed, Status.Terminated]:
                break
            await asyncio.sleep(0.01)
        raise AssertionError(f"{instance_id} is not {wanted}: {status.runtime_status}")

    def schedule(self, instance_id):
        """Starts an instance that is due far in the future: no method of the client can."""
        template = self.binding["creationUrls"]["createNewInstancePostUri"]
        url = template.replace("{functionName}", "TwoWaiters").replace("[/{instanceId}]", f"/{instance_id}")
        url += ("&" if "?" in url else "?") + "scheduledStartTime=2999-01-01T00:00:00Z"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
            assert answer.status == 202, answer.status

    async def instance(self, state):
        """A new instance in a state."""
        instance_id = self.new_id(state)
        function = {"completed": "Sequence", "failed": "Fails"}.get(state, "TwoWaiters")
        if state == "missing":
            return instance_id
        if state == "pending":
            self.schedule(instance_id)
            await self.until(instance_id, Status.Pending)
            return instance_id
        assert await self.client.start_new(function, instance_id) == instance_id
        if state == "suspended":
            await self.until(instance_id, Status.Running)
            await self.client.suspend(instance_id, "a break & more")
        if state == "terminated":
            await self.client.terminate(instance_id, "enough of 100% & more")
        await self.until(instance_id, Status[state.capitalize()])
        return instance_id

    # Starting

    async def starts_without_an_id(self):
        first, second = await self.client.start_new("Sequence"), await self.client.start_new("Sequence")
        same(len(first), 32)
        assert first != second
        status = await self.until(first, Status.Completed)
        same((status.name, status.input_, status.output), ("Sequence", None, ["Tokyo", "Seattle", "London"]))

    async def starts_with_id_and_input(self):
        # The client encodes JSON twice, so the input is a string that holds JSON.
        instance_id = self.new_id("mit Leerzeichen und Umläuten")
        same(await self.client.start_new("Event", instance_id, "Go"), instance_id)
        await self.until(instance_id, Status.Running)
        same((await self.client.get_status(instance_id, show_input=True)).input_, '"Go"')
        await self.client.raise_event(instance_id, '"Go"', {"ok": True})
        status = await self.until(instance_id, Status.Completed)
        same((status.instance_id, status.output), (instance_id, '{"ok": true}'))

    async def starts_with_a_version(self):
        instance_id = await self.client.start_new("Sequence", version="1.0 beta")
        status = await self.until(instance_id, Status.Completed)
        same(status.version, "1.0 beta")

    async def refuses_unknown_functions_and_bad_ids(self):
        await raises("The function 'Nobody' doesn't exist", self.client.start_new("Nobody"))
        await raises("256", self.client.start_new("Sequence", "x" * 257))
        await raises("@", self.client.start_new("Sequence", "@counter@1"))

    async def starts_an_id_once(self):
        for state in STATES:
            instance_id = await self.instance(state)
            if state in ENDED:
                same(await self.client.start_new("Sequence", instance_id), instance_id)
                await self.until(instance_id, Status.Completed)
            else:
                text = f"An orchestration with instance ID '{instance_id}' and status '{state.capitalize()}' already exists"
                await raises(text, self.client.start_new("Sequence", instance_id))
                same((await self.client.get_status(instance_id)).name, "TwoWaiters")

    # Asking

    async def shows_every_state(self):
        outputs = {
            "suspended": "a break & more",
            "completed": ["Tokyo", "Seattle", "London"],
            "terminated": "enough of 100% & more",
        }
        before = datetime.now(timezone.utc) - timedelta(seconds=2)
        for state in STATES:
            instance_id = await self.instance(state)
            status = await self.client.get_status(instance_id)
            assert bool(status), "a status that exists is true"
            same((status.instance_id, status.runtime_status), (instance_id, Status[state.capitalize()]))
            assert before <= status.created_time <= status.last_updated_time <= datetime.now(timezone.utc), state
            if state == "failed":
                assert status.output.startswith("Orchestrator function 'Fails' failed: "), status.output
            else:
                same(status.output, outputs.get(state))
            same((status.custom_status, status.input_, status.history), (None, None, None))
        assert not await self.client.get_status(await self.instance("missing"))

    async def shows_custom_status(self):
        instance_id = await self.client.start_new("Custom")
        same((await self.until(instance_id, Status.Completed)).custom_status, "finished")

    async def shows_history(self):
        instance_id = await self.instance("completed")
        status = await self.client.get_status(instance_id, show_history=True)
        kinds = [event["EventType"] for event in status.historyEvents]
        same(kinds, ["ExecutionStarted", "TaskCompleted", "TaskCompleted", "TaskCompleted", "ExecutionCompleted"])
        assert all("Result" not in event for event in status.historyEvents), status.historyEvents
        status = await self.client.get_status(
            instance_id, show_history=True, show_history_output=True, show_input=True)
        events = status.historyEvents
        same([event.get("Result") for event in events], [None, "Tokyo", "Seattle", "London", status.output])
        same(events[1]["Input"], '"Tokyo"')
        assert not hasattr(await self.client.get_status(instance_id, show_history_output=True), "historyEvents")

    async def lists_all(self):
        ids = [await self.instance(state) for state in STATES]
        # More than a page: the client never asks for a second one. The answer is compressed and sent in several pieces.
        many = [self.new_id("many") for _ in range(120)]
        ids += await asyncio.gather(*(self.client.start_new("TwoWaiters", one, "a longer text " * 100) for one in many))
        listed = {status.instance_id: status for status in await self.client.get_status_all()}
        same([one for one in ids if one not in listed], [])
        for instance_id, state in zip(ids, STATES):
            same(listed[instance_id].runtime_status, Status[state.capitalize()])

    async def lists_by_conditions(self):
        async def ids(**conditions):
            return [status.instance_id for status in await self.client.get_status_by(**conditions)]

        made = {state: await self.instance(state) for state in STATES}
        for state, instance_id in made.items():
            found = await self.client.get_status_by(runtime_status=[Status[state.capitalize()]])
            assert instance_id in [status.instance_id for status in found], state
            same({status.runtime_status for status in found}, {Status[state.capitalize()]})
        two = await ids(runtime_status=[Status.Failed, Status.Suspended])
        assert made["failed"] in two and made["suspended"] in two and made["running"] not in two
        same(await ids(instance_id_prefix=made["running"]), [made["running"]])
        same(await ids(instance_id_prefix="nobody"), [])
        now = datetime.now(timezone.utc)
        hour = timedelta(hours=1)
        assert made["failed"] in await ids(created_time_from=now - hour, created_time_to=now + hour)
        same(await ids(created_time_from=now + hour), [])
        same(await ids(created_time_to=now - hour), [])
        same(await ids(created_time_to=datetime(1, 1, 1)), [])

    # Acting

    async def raises_events(self):
        instance_id = await self.instance("running")
        same(await self.client.raise_event(instance_id, "item"), None)
        await self.client.raise_event(instance_id, "Item", {"n": [1, "zwölf"]})
        status = await self.until(instance_id, Status.Completed)
        # The newest wait got the first event.
        same([json.loads(one) for one in status.output], [{"n": [1, "zwölf"]}, None])
        for state in ["pending", "suspended"]:
            same(await self.client.raise_event(await self.instance(state), "Item", 1), None)
        for state in ENDED:
            instance_id = await self.instance(state)
            text = f"Instance with ID {instance_id} is gone: either completed or failed"
            await raises(text, self.client.raise_event(instance_id, "Item", 1))
        missing = await self.instance("missing")
        await raises(f"No instance with ID {missing} found.", self.client.raise_event(missing, "Item", 1))
        hub, connection = self.binding["taskHubName"], "Storage"
        await self.client.raise_event(await self.instance("running"), "Item", 1, hub, connection)

    async def terminates(self):
        for state in STATES:
            instance_id = await self.instance(state)
            same(await self.client.terminate(instance_id, "because"), None)
            if state in ENDED:
                same((await self.client.get_status(instance_id)).runtime_status, Status[state.capitalize()])
            else:
                same((await self.until(instance_id, Status.Terminated)).output, "because")
        missing = await self.instance("missing")
        await raises(f"No instance with ID '{missing}' found.", self.client.terminate(missing, "because"))

    async def suspends_and_resumes(self):
        for state in STATES:
            instance_id = await self.instance(state)
            same(await self.client.suspend(instance_id, "wait"), None)
            if state not in ENDED:
                same((await self.until(instance_id, Status.Suspended)).output,
                     "a break & more" if state == "suspended" else "wait")
            same(await self.client.resume(instance_id, "go on"), None)
            if state in ["running", "suspended"]:
                same((await self.until(instance_id, Status.Running)).output, None)
            if state in ENDED:
                same((await self.client.get_status(instance_id)).runtime_status, Status[state.capitalize()])
        missing = await self.instance("missing")
        text = f"No instance with ID '{missing}' found."
        await raises(text, self.client.suspend(missing, "wait"))
        await raises(text, self.client.resume(missing, "go on"))

    async def holds_events_while_suspended(self):
        instance_id = await self.instance("suspended")
        await self.client.raise_event(instance_id, "Item", 1)
        await self.client.raise_event(instance_id, "Item", 2)
        same((await self.client.get_status(instance_id)).runtime_status, Status.Suspended)
        await self.client.resume(instance_id, "go on")
        same((await self.until(instance_id, Status.Completed)).output, ["2", "1"])

    async def rewinds(self):
        for state in STATES:
            instance_id = await self.instance(state)
            if state == "failed":
                same(await self.client.rewind(instance_id, "mended & more"), None)
                # It fails of itself, so it fails again.
                await self.until(instance_id, Status.Failed)
            else:
                await raises(REWIND_REFUSED, self.client.rewind(instance_id, "mended"))
        missing = await self.instance("missing")
        await raises(f"No instance with ID {missing} found.", self.client.rewind(missing, "mended"))

    async def restarts(self):
        for state in STATES:
            instance_id = await self.instance(state)
            links = await self.client.restart(instance_id)
            assert links["id"] != instance_id, links
            again = await self.client.get_status(links["id"])
            same(again.name, (await self.client.get_status(instance_id)).name)
            same_id = self.client.restart(instance_id, restart_with_new_instance_id=False)
            if state in ENDED:
                same((await same_id)["id"], instance_id)
            else:
                await raises("unexpected status code 409", same_id)
        missing = await self.instance("missing")
        await raises("unexpected status code 400", self.client.restart(missing))

    async def purges_one(self):
        for state in STATES:
            instance_id = await self.instance(state)
            if state in ENDED:
                same((await self.client.purge_instance_history(instance_id)).instances_deleted, 1)
                assert not await self.client.get_status(instance_id)
            else:
                await raises("unexpected status code 409", self.client.purge_instance_history(instance_id))
                same((await self.client.get_status(instance_id)).runtime_status, Status[state.capitalize()])
        missing = await self.instance("missing")
        same((await self.client.purge_instance_history(missing)).instances_deleted, 0)

    async def purges_many(self):
        client, hour = self.client, timedelta(hours=1)
        made = {state: await self.instance(state) for state in STATES}
        now = datetime.now(timezone.utc)
        same((await client.purge_instance_history_by(now + hour)).instances_deleted, 0)
        same((await client.purge_instance_history_by(now - hour, now - hour / 2)).instances_deleted, 0)
        deleted = await client.purge_instance_history_by(now - hour, now + hour, [Status.Failed, Status.Running])
        assert deleted.instances_deleted >= 1
        gone = [state for state in STATES if not await client.get_status(made[state])]
        same(gone, ["failed"])
        assert (await client.purge_instance_history_by(now - hour)).instances_deleted >= 2
        gone = [state for state in STATES if not await client.get_status(made[state])]
        same(gone, ENDED)

    # Answers for HTTP functions

    async def waits_for_completion(self):
        request = func.HttpRequest(method="POST", url="http://front.example:8080/start", body=b"")
        wait = self.client.wait_for_completion_or_create_check_status_response
        for state in STATES + ["missing"]:
            instance_id = await self.instance(state)
            answer = await wait(request, instance_id, 200, 50)
            body = json.loads(answer.get_body())
            if state == "completed":
                same((answer.status_code, body), (200, ["Tokyo", "Seattle", "London"]))
            elif state == "terminated":
                same((answer.status_code, body["runtimeStatus"], body["output"]),
                     (200, "Terminated", "enough of 100% & more"))
            elif state == "failed":
                same((answer.status_code, body["runtimeStatus"]), (500, "Failed"))
            else:
                same((answer.status_code, body["id"]), (202, instance_id))
        # One that ends while it is waited for.
        instance_id = await self.instance("running")
        answer, _ = await asyncio.gather(wait(request, instance_id, 30000, 20), self.client.terminate(instance_id, "now"))
        same((answer.status_code, json.loads(answer.get_body())["output"]), (200, "now"))
        await raises("should be bigger", wait(request, instance_id, 50, 200))

    async def makes_check_status_responses(self):
        request = func.HttpRequest(method="POST", url="https://front.example/start", body=b"")
        answer = self.client.create_check_status_response(request, "abc")
        links = json.loads(answer.get_body())
        same((answer.status_code, answer.headers["Location"]), (202, links["statusQueryGetUri"]))
        assert links["statusQueryGetUri"].startswith("https://front.example/runtime/webhooks/durabletask/instances/abc?")
        same(self.client.get_client_response_links(request, "abc"), links)

    async def links_work(self):
        links = self.client.create_http_management_payload(await self.instance("completed"))
        names = ["statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "rewindPostUri", "purgeHistoryDeleteUri",
                 "restartPostUri", "suspendPostUri", "resumePostUri"]
        same([name for name in names if links["id"] not in links[name]], [])
        with urllib.request.urlopen(links["statusQueryGetUri"]) as answer:
            same(json.load(answer)["runtimeStatus"], "Completed")

    # Entities are not there yet: every one of them is unknown.

    async def knows_no_entities(self):
        state = await self.client.read_entity_state(EntityId("Counter", "one"))
        same(state.entity_exists, False)
        await raises("unexpected status code 404", self.client.signal_entity(EntityId("Counter", "one"), "add", 1))


def same(seen, expected):
    assert seen == expected, f"{seen!r} instead of {expected!r}"


async def raises(text, call):
    """The call raises an exception whose message has the text."""
    try:
        result = await call
    except Exception as error:
        # Anything but what the client itself raises is a client that did not understand the answer.
        assert type(error) is Exception, f"{type(error).__name__}: {error}"
        message = error.args[0].get("Message") if isinstance(error.args[0], dict) else str(error)
        assert message and text in message, f"{error!r} instead of {text!r}"
    else:
        raise AssertionError(f"{result!r} instead of an exception with {text!r}")


async def main():
    binding = json.load(sys.stdin)
    checks = Checks(binding)
    own = {"new_id", "until", "schedule", "instance"}
    names = [name for name, value in vars(Checks).items() if inspect.iscoroutinefunction(value) and name not in own]
    for name in names:
        failed = None
        try:
            await getattr(checks, name)()
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        print(json.dumps({"check": name, "failed": failed}), flush=True)
    methods = [name for name, value in vars(df.DurableOrchestrationClient).items()
               if not name.startswith("_") and inspect.isfunction(value)]
    print(json.dumps({"methods": sorted(methods), "called": sorted(methods_called)}))
    await http_utils._close_session()


asyncio.run(main())
