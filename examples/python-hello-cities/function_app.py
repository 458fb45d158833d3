"""Activities, one after the other: as a generator, and as a coroutine."""

import durawasm as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def Py_HelloSequence(context: df.DurableOrchestrationContext):
    greetings = []
    for city in ["Tokyo", "Seattle", "London"]:
        greetings.append((yield context.call_activity(Py_SayHello, city)))
    return greetings


@app.orchestration_trigger(context_name="context")
async def Py_HelloSequenceAsync(context: df.DurableOrchestrationContext):
    return [await context.call_activity(Py_SayHello, city) for city in ["Tokyo", "Seattle", "London"]]


@app.activity_trigger(input_name="city")
def Py_SayHello(city: str) -> str:
    return f"Hello {city}!"
