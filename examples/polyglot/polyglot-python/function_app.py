"""Orchestrators that call activities in Rust and JavaScript, and an activity that those call."""

import statistics

import durawasm as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def PG_Receipt(context: df.DurableOrchestrationContext):
    """Python calls Rust."""
    cents = context.get_input()
    total = yield context.call_activity("PG_Sum", cents)
    return {"items": len(cents), "total": f"{total / 100:.2f}"}


@app.orchestration_trigger(context_name="context")
async def PG_Invitations(context: df.DurableOrchestrationContext):
    """Python calls JavaScript."""
    calls = [context.call_activity("PG_Salutation", name) for name in context.get_input()]
    return [f"{salutation} please come." for salutation in await context.task_all(calls)]


@app.activity_trigger(input_name="numbers")
def PG_Statistics(numbers: list[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(numbers), "median": statistics.median(numbers)}
