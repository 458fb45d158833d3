// Calls of activities and of HTTP, manual and timer functions.

import { host } from "./host.js";
import { decode, encode } from "./json.js";
import { remember } from "./client-of.js";
import { DurableClient } from "./client.js";
import { HttpRequest, toResponse } from "./http.js";
import { logger } from "./log.js";

/** What a function gets as its context. */
function contextOf(entry, invocationId) {
    const outputs = new Map();
    const context = {
        functionName: entry.name,
        invocationId,
        options: {},
        triggerMetadata: {},
        extraInputs: { get: (binding) => (binding?.type === "durableClient" ? new DurableClient() : undefined) },
        extraOutputs: { get: (binding) => outputs.get(nameOf(binding)), set: (binding, value) => void outputs.set(nameOf(binding), value) },
        ...logger(),
    };
    remember(context, { client: entry.client, name: entry.name, legacy: false });
    return { context, outputs };
}

const nameOf = (binding) => (typeof binding === "string" ? binding : binding.name);

/** Starts what a function left in an output for the durable client: `{FunctionName, Input, InstanceId}` or several. */
export async function startOutputs(values) {
    const requests = values.flat().filter((each) => each !== undefined && each !== null);
    if (requests.length > 0) {
        const request = (each) => ({
            name: each.FunctionName ?? each.functionName,
            input: each.Input ?? each.input,
            instanceId: each.InstanceId ?? each.instanceId,
        });
        await new DurableClient().startMany(requests.map(request));
    }
}

async function finish(entry, outputs) {
    await startOutputs((entry.outputs ?? []).map((binding) => outputs.get(binding.name)));
}

/** Runs an activity; the text of its result. */
export async function runActivity(entry, input) {
    const info = host().activityContext.info();
    const { context, outputs } = contextOf(entry, info.idempotencyKey);
    context.activity = {
        instanceId: info.instanceId,
        taskId: info.task,
        attempt: info.attempt,
        idempotencyKey: info.idempotencyKey,
        lastHeartbeat: decode(info.lastHeartbeat),
        heartbeat: (details) => host().activityContext.heartbeat(encode(details)),
    };
    const result = await entry.handler(decode(input), context);
    await finish(entry, outputs);
    return encode(result);
}

/** Answers a request of the host. */
export async function runHttp(entry, request) {
    const { context, outputs } = contextOf(entry, host().functionContext.info().invocationId);
    const pairs = (tags) => tags.map(({ name, value }) => [name, value]);
    const made = new HttpRequest({
        method: request.method,
        url: request.url,
        headers: pairs(request.headers),
        query: pairs(request.query),
        params: Object.fromEntries(pairs(request.params)),
        body: Uint8Array.from(request.body),
    });
    const response = toResponse(await entry.handler(made, context));
    await finish(entry, outputs);
    const headers = [...response.headers].map(([name, value]) => ({ name, value }));
    return { status: response.status, headers, body: response.content };
}

/** Runs a manual or timer function; the text of its result. */
export async function runTrigger(entry, input) {
    const { context, outputs } = contextOf(entry, host().functionContext.info().invocationId);
    const given = decode(input);
    const result = await entry.handler(entry.kind === "timer" ? timerOf(given) : given, context);
    await finish(entry, outputs);
    return encode(result);
}

/** The timer that a timer function gets. */
function timerOf(given) {
    return { isPastDue: false, ...given, schedule: { adjustForDST: false }, scheduleStatus: given?.scheduleStatus ?? {} };
}
