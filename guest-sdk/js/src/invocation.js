// Calls of activities and of HTTP, manual and timer functions.

import { host } from "./host.js";
import { decode, encode } from "./json.js";
import { remember } from "./client-of.js";
import { DurableClient } from "./client.js";
import { DurableError } from "./errors.js";
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

const startsOf = (value) => [value].flat().filter((each) => each !== undefined && each !== null);

/**
 * Starts what a function left in its outputs (their names and values) for the durable client: `{FunctionName, Input, InstanceId}`
 * or several. Starts in an output that is not declared are an error: otherwise nobody would learn that nothing was started.
 */
export async function startOutputs(outputs, isClient) {
    const lost = outputs.find(([name, value]) => !isClient(name) && startsOf(value).some((each) => each.FunctionName ?? each.functionName));
    if (lost) {
        throw new DurableError(`nothing was started: the output '${lost[0]}' is no declared binding of type durableClient and direction out`);
    }
    const requests = outputs.filter(([name]) => isClient(name)).flatMap(([, value]) => startsOf(value));
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
    await startOutputs([...outputs], (name) => (entry.outputs ?? []).some((binding) => binding.name === name));
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
