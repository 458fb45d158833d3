import json

import azure.functions as func


def main(timer: func.TimerRequest, starter: func.Out[str]) -> None:
    starter.set(json.dumps({"FunctionName": "WaitsForGo", "Input": timer.past_due, "InstanceId": "nightly"}))
