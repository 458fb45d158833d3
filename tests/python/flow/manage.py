"""Client functions: each operation of the durable client."""

import json

import azure.functions as func
import durawasm as df

functions = df.Blueprint(http_auth_level="anonymous")

CODES = {
    df.InstanceAlreadyExistsError: "already-exists",
    df.InstanceNotFoundError: "not-found",
    df.InvalidStateError: "not-failed",
}


def shown(status):
    if not status:
        return None
    return {**status.to_json(), "tags": status.tags, "history": status.history}


async def manage(client, operation, instance_id, body):
    if operation == "start":
        given = {"tags": body.get("tags"), "reuse": body.get("reuse", "terminal")}
        return await client.start_new(body["name"], instance_id, body.get("input"), **given)
    if operation == "startOld":
        return await client.start_new(body["name"], instance_id, body.get("input"))
    if operation == "startMany":
        names = {"name": "FunctionName", "instanceId": "InstanceId", "input": "Input"}
        return await client.start_many([{names[key]: value for key, value in one.items()} for one in body])
    if operation == "status":
        return shown(await client.get_status(instance_id, show_history=True, show_history_output=True))
    if operation == "all":
        return [status.instance_id for status in await client.get_status_all()]
    if operation == "by":
        return [status.instance_id for status in await client.get_status_by(runtime_status=body["runtimeStatus"])]
    if operation == "event":
        return await client.raise_event(instance_id, body["name"], body.get("data"))
    if operation in ("terminate", "suspend", "resume", "rewind"):
        return await getattr(client, operation)(instance_id, "because")
    if operation == "restart":
        return await client.restart(instance_id)
    if operation == "purge":
        return {"instancesDeleted": (await client.purge_instance_history(instance_id)).instances_deleted}
    if operation == "purgeBy":
        return {"instancesDeleted": (await client.purge_instance_history_by(name=body["name"])).instances_deleted}
    if operation == "payload":
        return client.create_http_management_payload(instance_id)
    raise ValueError(f"no operation {operation}")


@functions.route(route="manage/{operation}/{instanceId?}", methods=["GET", "POST"])
@functions.durable_client_input(client_name="client")
async def Manage(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    operation, instance_id = req.route_params["operation"], req.route_params.get("instanceId")
    body = req.get_json() if req.get_body() else None
    if operation == "check":
        return client.create_check_status_response(req, instance_id)
    if operation == "wait":
        given = {"timeoutInMilliseconds": 10_000, "retryIntervalInMilliseconds": 1_000, **(body or {})}
        return await client.wait_for_completion_or_create_check_status_response(
            req, instance_id, given["timeoutInMilliseconds"], given["retryIntervalInMilliseconds"]
        )
    if operation == "hub":
        return json.dumps(client.task_hub_name)
    status, answer = 200, None
    try:
        answer = await manage(client, operation, instance_id, body)
    except df.ClientError as error:
        status, answer = 409, {"code": CODES[type(error)], "message": str(error)}
    return func.HttpResponse(json.dumps(answer), status_code=status, mimetype="application/json")


@functions.route(route="mirror/{*rest}", methods=["PUT", "POST"])
def Mirror(req: func.HttpRequest) -> func.HttpResponse:
    """What comes in goes out again."""
    kind = req.headers.get("content-type", "text/plain")
    headers = {"X-Mirror": req.headers.get("x-given", "none")}
    text = f"{req.route_params['rest']} {req.params.get('q', '')} {req.get_body().decode('utf-8', 'replace')}"
    body = req.get_body() if "bytes" in req.params else text
    return func.HttpResponse(body, status_code=203, headers=headers, mimetype=kind)


@functions.route(route="Throws")
def Throws(req: func.HttpRequest):
    raise TypeError("not for the client's eyes")
