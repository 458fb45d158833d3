// The durable client.

import { host, payloadOf } from "./host.js";
import { decode, encode } from "./json.js";
import { ClientError, DurableError } from "./errors.js";
import { HttpResponse } from "./http.js";

/** What an instance is up to. */
export const OrchestrationRuntimeStatus = Object.freeze({
    Running: "Running",
    Completed: "Completed",
    ContinuedAsNew: "ContinuedAsNew",
    Failed: "Failed",
    Canceled: "Canceled",
    Terminated: "Terminated",
    Pending: "Pending",
    Suspended: "Suspended",
});

const toKebab = (status) => String(status).replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
const toPascal = (status) => Object.values(OrchestrationRuntimeStatus).find((each) => toKebab(each) === status) ?? status;

/** An instance. */
export class DurableOrchestrationStatus {
    constructor(status) {
        this.name = status.name;
        this.instanceId = status.instanceId;
        this.version = status.version ?? undefined;
        this.runtimeStatus = toPascal(status.runtimeStatus);
        this.input = decode(status.input);
        this.customStatus = decode(status.customStatus);
        this.output = decode(status.output);
        this.createdTime = new Date(status.createdTime);
        this.lastUpdatedTime = new Date(status.lastUpdatedTime);
        this.parentInstanceId = status.parentInstanceId ?? undefined;
        this.tags = Object.fromEntries((status.tags ?? []).map(({ name, value }) => [name, value]));
        this.history = status.history ? JSON.parse(status.history) : undefined;
    }
}

/** How many instances a purge removed. */
export class PurgeHistoryResult {
    constructor(instancesDeleted) {
        this.instancesDeleted = instancesDeleted;
    }
}

/** An error for what the host refused. */
function refused(thrown) {
    const error = payloadOf(thrown);
    if (error === null || typeof error !== "object" || typeof error.tag !== "string") {
        return thrown;
    }
    const texts = {
        "already-exists": (status) => `an instance with the id '${status.instanceId}' exists already and is ${toPascal(status.runtimeStatus)}`,
        "not-found": () => "there is no such instance",
        ended: () => "the instance has ended",
        "not-failed": () => "only failed instances can be rewound",
        "not-ended": () => "only instances that have ended can be purged",
    };
    const text = texts[error.tag]?.(error.val) ?? `${error.val ?? error.tag}`;
    const status = error.tag === "already-exists" ? new DurableOrchestrationStatus(error.val) : undefined;
    return new ClientError(error.tag, text, status);
}

function call(method, ...args) {
    try {
        return host().client[method](...args);
    } catch (error) {
        throw refused(error);
    }
}

/** For calls that are no error when the instance has ended already. */
function idempotent(method, ...args) {
    try {
        call(method, ...args);
    } catch (error) {
        if (error.code !== "ended") {
            throw error;
        }
    }
}

function time(given) {
    return given === undefined || given === null ? null : new Date(given).toISOString();
}

function filterOf({ createdTimeFrom, createdTimeTo, runtimeStatus, name, instanceIdPrefix } = {}) {
    return {
        createdFrom: time(createdTimeFrom),
        createdTo: time(createdTimeTo),
        runtimeStatus: (runtimeStatus ?? []).map(toKebab),
        name: name ?? null,
        instanceIdPrefix: instanceIdPrefix ?? null,
    };
}

const REUSE = ["never", "terminal", "any"];

function startOptions({ instanceId, version, tags, reuse, scheduledTime } = {}) {
    if (reuse !== undefined && !REUSE.includes(reuse)) {
        throw new TypeError(`reuse is one of ${REUSE.join(", ")}`);
    }
    return {
        instanceId: instanceId ? String(instanceId) : null,
        version: version ?? null,
        tags: Object.entries(tags ?? {}).map(([name, value]) => ({ name, value: String(value) })),
        // As the original: what has ended may be replaced.
        reuse: reuse ?? "terminal",
        scheduledAt: time(scheduledTime),
    };
}

/** Starts orchestrations of the own hub and manages them. */
export class DurableClient {
    #legacy;

    /** `legacy`: responses are the plain objects of the older form of functions. */
    constructor(legacy = false) {
        this.#legacy = legacy;
    }

    get taskHubName() {
        return host().functionContext.info().hub;
    }

    /** `options`: `{instanceId, input, version, tags, reuse, scheduledTime}`, or, as it was before, an id and an input. */
    async startNew(orchestratorFunctionName, options, input) {
        if (typeof orchestratorFunctionName !== "string" || orchestratorFunctionName === "") {
            throw new TypeError("startNew needs the name of an orchestrator");
        }
        const asBefore = arguments.length > 2 || typeof options === "string";
        const given = asBefore ? { instanceId: options, input } : (options ?? {});
        return call("startNew", orchestratorFunctionName, encode(given.input), startOptions(given));
    }

    /** Starts several, all or none. Each is `{name, input, instanceId, …}`. */
    async startMany(requests) {
        return call("startMany", requests.map((each) => ({ name: each.name, input: encode(each.input), options: startOptions(each) })));
    }

    async getStatus(instanceId, options = {}, ...before) {
        const given = typeof options === "boolean" ? { showHistory: options, showHistoryOutput: before[0], showInput: before[1] } : (options ?? {});
        const parts = { input: given.showInput !== false, history: given.showHistory === true, historyOutput: given.showHistoryOutput === true };
        const status = call("getStatus", String(instanceId), parts);
        return status ? new DurableOrchestrationStatus(status) : null;
    }

    async getStatusAll() {
        return this.getStatusBy({});
    }

    async getStatusBy(filter, ...before) {
        const old = filter instanceof Date || before.length > 0;
        const given = old ? { createdTimeFrom: filter, createdTimeTo: before[0], runtimeStatus: before[1] } : (filter ?? {});
        const found = [];
        let continuation = null;
        do {
            const page = call("listInstances", filterOf(given), given.showInput === true, null, continuation);
            found.push(...page.instances.map((status) => new DurableOrchestrationStatus(status)));
            continuation = page.continuation ?? null;
        } while (continuation !== null);
        return found;
    }

    #checkHub({ taskHubName } = {}) {
        if (taskHubName !== undefined && taskHubName !== this.taskHubName) {
            throw new DurableError(`the client manages the function's own hub, ${this.taskHubName}, and not ${taskHubName}`);
        }
    }

    async raiseEvent(instanceId, eventName, eventData, options) {
        this.#checkHub(options);
        if (typeof eventName !== "string" || eventName === "") {
            throw new TypeError("raiseEvent needs the event's name");
        }
        idempotent("raiseEvent", String(instanceId), eventName, encode(eventData));
    }

    async terminate(instanceId, reason, { recursive = false } = {}) {
        idempotent("terminate", String(instanceId), reason ?? null, recursive);
    }

    async suspend(instanceId, reason) {
        idempotent("suspend", String(instanceId), reason ?? null);
    }

    async resume(instanceId, reason) {
        idempotent("resume", String(instanceId), reason ?? null);
    }

    async rewind(instanceId, reason, options) {
        this.#checkHub(options);
        call("rewind", String(instanceId), reason ?? null);
    }

    async restart(instanceId, { restartWithNewInstanceId = true } = {}) {
        return call("restart", String(instanceId), restartWithNewInstanceId);
    }

    async purgeInstanceHistory(instanceId, { recursive = false } = {}) {
        return new PurgeHistoryResult(call("purge", String(instanceId), recursive));
    }

    async purgeInstanceHistoryBy(filter, ...before) {
        const old = filter instanceof Date || before.length > 0;
        const given = old ? { createdTimeFrom: filter, createdTimeTo: before[0], runtimeStatus: before[1] } : (filter ?? {});
        return new PurgeHistoryResult(call("purgeMany", filterOf(given), given.recursive === true));
    }

    /** The instance once it has ended; null: it has not within this time. */
    async waitForCompletion(instanceId, timeoutInMilliseconds = 10_000) {
        const status = call("waitForCompletion", String(instanceId), timeoutInMilliseconds);
        return status ? new DurableOrchestrationStatus(status) : null;
    }

    /** The instance once it runs or has ended; null: it is still pending. */
    async waitForStart(instanceId, timeoutInMilliseconds = 30_000) {
        const status = call("waitForStart", String(instanceId), timeoutInMilliseconds);
        return status ? new DurableOrchestrationStatus(status) : null;
    }

    createHttpManagementPayload(instanceId) {
        return { ...call("createManagementPayload", String(instanceId)) };
    }

    createCheckStatusResponse(_request, instanceId) {
        const payload = this.createHttpManagementPayload(instanceId);
        const headers = { "Content-Type": "application/json", Location: payload.statusQueryGetUri, "Retry-After": "10" };
        return this.#response(202, payload, headers);
    }

    async waitForCompletionOrCreateCheckStatusResponse(request, instanceId, options = {}, interval) {
        const before = typeof options === "number" ? { timeoutInMilliseconds: options, retryIntervalInMilliseconds: interval } : options;
        const { timeoutInMilliseconds: timeout = 10_000, retryIntervalInMilliseconds: every = 1_000 } = before ?? {};
        if (every > timeout) {
            throw new RangeError(`the timeout (${timeout} ms) must be at least the retry interval (${every} ms)`);
        }
        const status = await this.waitForCompletion(instanceId, timeout);
        if (!status) {
            return this.createCheckStatusResponse(request, instanceId);
        }
        if (status.runtimeStatus === "Completed") {
            return this.#response(200, status.output);
        }
        return this.#response(status.runtimeStatus === "Failed" ? 500 : 200, status);
    }

    #response(status, body, headers = { "Content-Type": "application/json" }) {
        if (this.#legacy) {
            // An object is written as JSON by whoever sends it, a text would be sent as it is.
            return { status, body: body !== null && typeof body === "object" ? body : JSON.stringify(body ?? null), headers };
        }
        return new HttpResponse({ status, jsonBody: body ?? null, headers });
    }
}
