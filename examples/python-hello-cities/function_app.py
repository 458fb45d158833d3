"""Three greetings, one after the other."""

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def E1_PyHelloSequence(context: df.DurableOrchestrationContext):
    greetings = []
    for city in ["Tokyo", "Seattle", "London"]:
        greetings.append((yield context.call_activity(E1_PySayHello, city)))
    return greetings


@app.activity_trigger(input_name="city")
def E1_PySayHello(city: str) -> str:
    return f"Hello {city}!"
