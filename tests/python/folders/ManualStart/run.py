import azure.functions as func


def start(input: str, starter: func.Out[list]) -> None:
    starter.set([{"FunctionName": "WaitsForGo", "Input": input, "InstanceId": input}])
