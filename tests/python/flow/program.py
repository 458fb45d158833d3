"""An orchestrator that does what its input says, as the one of the Rust guest does it."""

import durawasm as df

functions = df.Blueprint()
RETRY = {"backoff_coefficient": 2.0}


@functions.orchestration_trigger(context_name="context")
def Program(context):
    program = context.get_input()
    around, rounds = program.get("round", 0), program.get("rounds", 0)
    doing = Doing(step(context, program["step"], around))
    while not doing.poll():
        yield context.task_any(doing.waits())
    value = doing.outcome()
    if around < rounds:
        following = {"step": whole(program["step"]), "round": around + 1, "rounds": rounds}
        context.continue_as_new(following, keep_events=True)
    return value


class Doing:
    """A step under way. Polled as a future of Rust is: in order, from the outside to the inside."""

    def __init__(self, generator):
        self.generator = generator
        self.on = None
        self.done = False
        self.error = self.value = None

    def poll(self):
        while not self.done:
            value = error = None
            if self.on is not None:
                if not self.on.poll():
                    return False
                try:
                    value = self.on.outcome()
                except Exception as failed:
                    error = failed
            try:
                self.on = self.generator.send(value) if error is None else self.generator.throw(error)
            except StopIteration as stop:
                self.done, self.value = True, stop.value
            except Exception as failed:
                self.done, self.error = True, failed
        return True

    def outcome(self):
        if self.error is not None:
            raise self.error
        return self.value

    def waits(self):
        return self.on.waits()


class Task:
    def __init__(self, task):
        self.task = task

    def poll(self):
        return self.task.is_completed

    def outcome(self):
        if self.task.is_faulted:
            raise self.task.exception
        return self.task.result

    def waits(self):
        return [self.task]


class All:
    def __init__(self, doings):
        self.doings = doings

    def poll(self):
        return all([doing.poll() for doing in self.doings])

    def outcome(self):
        return [doing.outcome() for doing in self.doings]

    def waits(self):
        return [task for doing in self.doings if not doing.done for task in doing.waits()]


class Any(All):
    def poll(self):
        return any(doing.poll() for doing in self.doings)

    def outcome(self):
        index, first = next((index, doing) for index, doing in enumerate(self.doings) if doing.done)
        return [index, first.outcome()]


def step(context, what, around):
    """Runs a step: yields what it waits for."""
    if isinstance(what, str):
        raise ValueError(what)
    [(kind, given)] = what.items()
    if kind == "echo":
        return (yield Task(context.call_activity("Echo", given)))
    if kind == "activity":
        return (yield Task(context.call_activity(given["name"], given["input"])))
    if kind == "flaky":
        options = df.RetryOptions(1000, given["attempts"], **RETRY)
        return (yield Task(context.call_activity_with_retry("FailUntil", options, given["succeeds"])))
    if kind == "repaired":
        attempts = given.get("attempts", 0)
        if attempts > 1:
            options = df.RetryOptions(1000, attempts, **RETRY)
            return (yield Task(context.call_activity_with_retry("Repaired", options, given["rewinds"])))
        return (yield Task(context.call_activity("Repaired", given["rewinds"])))
    if kind == "sleep":
        yield Task(timer(context, given))
        return "slept"
    if kind == "event":
        return (yield Task(context.wait_for_external_event(given)))
    if kind == "child":
        return (yield Task(child(context, given, around)))
    if kind == "start":
        name, value, instance_id = child_of(context, given, around)
        return context.start_sub_orchestrator(name, value, instance_id)
    if kind == "send":
        to = given["to"].replace("{self}", context.instance_id)
        context.send_event(to.replace("{parent}", context.parent_instance_id or ""), given["name"], given["data"])
        return "sent"
    if kind == "seq":
        values = []
        for inner in given:
            values.append((yield from step(context, inner, around)))
        return values
    if kind in ("all", "any"):
        group = All if kind == "all" else Any
        return (yield group([Doing(step(context, inner, around)) for inner in given]))
    if kind == "catch":
        try:
            return (yield from step(context, given, around))
        except Exception as error:
            return {"caught": str(error)}
    if kind == "undo":
        try:
            return (yield from step(context, given[0], around))
        except Exception:
            yield from step(context, given[1], around)
            raise
    if kind == "fail":
        raise df.FunctionError(given, error_type="Deliberate")
    if kind == "status":
        return context.set_custom_status(given)
    if kind == "giveUp":
        if "sleep" in given:
            timer(context, given["sleep"]).cancel()
        return "given up"
    raise ValueError(f"no step {kind}")


def timer(context, seconds):
    from datetime import timedelta

    return context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))


def whole(what):
    """The step with all its fields, as typed languages write it: histories are compared."""
    if isinstance(what, str):
        return what
    [(kind, given)] = what.items()
    if kind == "repaired":
        return {kind: {"rewinds": given["rewinds"], "attempts": given.get("attempts", 0)}}
    if kind in ("child", "start"):
        inner = given.get("step")
        fields = {name: given.get(name) for name in ("label", "id", "function", "input")}
        fields["step"] = None if inner is None else whole(inner)
        return {kind: {**fields, "rounds": given.get("rounds", 0), "attempts": given.get("attempts", 0)}}
    if kind in ("catch", "giveUp"):
        return {kind: whole(given)}
    return {kind: [whole(inner) for inner in given]} if kind in ("seq", "all", "any", "undo") else what


def child_of(context, given, around):
    value = given.get("input")
    if given.get("step") is not None:
        value = {"step": whole(given["step"]), "round": 0, "rounds": given.get("rounds", 0)}
    instance_id = given.get("id")
    if instance_id is None and given.get("label") is not None:
        instance_id = f"{context.instance_id}.{given['label']}" + (f".{around}" if around else "")
    return given.get("function") or "Program", value, instance_id


def child(context, given, around):
    name, value, instance_id = child_of(context, given, around)
    attempts = given.get("attempts", 0)
    if attempts > 1:
        options = df.RetryOptions(1000, attempts, **RETRY)
        return context.call_sub_orchestrator_with_retry(name, options, value, instance_id)
    return context.call_sub_orchestrator(name, value, instance_id)
