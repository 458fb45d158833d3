import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    greeting = yield context.call_activity("SayHello", context.get_input())
    yield context.wait_for_external_event("Go")
    return greeting


main = df.Orchestrator.create(orchestrator_function)
