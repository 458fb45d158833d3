"""Activities."""

import asyncio
import logging
import sys
import time

import durawasm as df

functions = df.Blueprint()


@functions.activity_trigger(input_name="value")
def Echo(value):
    return value


@functions.activity_trigger(input_name="n")
def Square(n: int) -> int:
    return n * n


@functions.activity_trigger(input_name="flag", activity="Fail")
def fail(flag):
    try:
        try:
            raise df.FunctionError("no space left", error_type="DiskError")
        except df.FunctionError as error:
            raise df.FunctionError("cannot write the file", error_type="DiskError") from error
    except df.FunctionError as error:
        facts = {"order": 7}
        raise df.FunctionError(
            "cannot save the order", error_type="DiskError", non_retriable=bool(flag), properties=facts
        ) from error


@functions.activity_trigger(input_name="k")
def FailUntil(k: int, context: df.ActivityContext) -> int:
    if context.attempt < k:
        raise df.FunctionError(f"attempt {context.attempt} of {k}", error_type="NotYet")
    return context.attempt


@functions.activity_trigger(input_name="millis")
def Sleep(millis: int) -> int:
    time.sleep(millis / 1000)
    return millis


@functions.activity_trigger(input_name="_")
def DescribeCall(_, context: df.ActivityContext):
    return {
        "instanceId": context.instance_id,
        "name": context.function_name,
        "task": context.task_id,
        "attempt": context.attempt,
        "idempotencyKey": context.idempotency_key,
    }


@functions.activity_trigger(input_name="half")
async def Resumes(half: int, context: df.ActivityContext):
    if context.last_heartbeat is not None:
        return {"attempt": context.attempt, "from": context.last_heartbeat}
    for done in range(1, half + 1):
        context.heartbeat(done)
    raise df.FunctionError("halfway", error_type="Error")


@functions.activity_trigger(input_name="given")
async def Heartbeats(given, context: df.ActivityContext):
    for sent in range(1, given["times"] + 1):
        if context.heartbeat(sent):
            return sent
        await asyncio.sleep(given["every_millis"] / 1000)
    return given["times"]


@functions.activity_trigger(input_name="rewinds")
def Repaired(rewinds: int, context: df.ActivityContext):
    execution, _ = context.idempotency_key.split(":", 1)
    rewound = int((execution.split("-") + ["0"])[1])
    if rewound < rewinds:
        raise df.FunctionError(f"broken until rewind {rewinds}", error_type="Broken")
    return {"repaired": rewound}


@functions.activity_trigger(input_name="line")
def LogLine(line: str) -> None:
    logging.info(line)
    print(f"stdout: {line}")
    print(f"stderr: {line}", file=sys.stderr)


class OutOfStock(Exception):
    """An error of the app's own."""


def _deeper() -> None:
    raise OutOfStock("no more teapots")


@functions.activity_trigger(input_name="_")
def Raise(_) -> None:
    try:
        int("seven")
    except ValueError as error:
        raise KeyError("amount") from error


@functions.activity_trigger(input_name="_")
def RaiseOwn(_) -> None:
    _deeper()


@functions.activity_trigger(input_name="_")
def NotJson(_):
    return {"orders": [{"parts": {1, 2}}]}
