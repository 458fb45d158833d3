// The orchestrator's context.

import { host } from "./host.js";
import { encode } from "./json.js";
import { DurableError } from "./errors.js";
import { AllTask, AnyTask, AtomicTask, Task } from "./task.js";
import { logger } from "./log.js";
import { encodeText } from "./text.js";

/** How a failed call is tried again: by the host, so that attempts survive crashes. Times are milliseconds. */
export class RetryOptions {
    constructor(firstRetryIntervalInMilliseconds, maxNumberOfAttempts) {
        if (!(firstRetryIntervalInMilliseconds > 0)) {
            throw new RangeError("firstRetryIntervalInMilliseconds must be greater than 0");
        }
        if (!(maxNumberOfAttempts >= 1)) {
            throw new RangeError("maxNumberOfAttempts must be at least 1");
        }
        this.firstRetryIntervalInMilliseconds = firstRetryIntervalInMilliseconds;
        this.maxNumberOfAttempts = maxNumberOfAttempts;
        this.backoffCoefficient = 1;
        this.maxRetryIntervalInMilliseconds = undefined;
        this.retryTimeoutInMilliseconds = undefined;
    }
}

function policy(retry) {
    if (retry === undefined || retry === null) {
        return null;
    }
    if (!(retry.firstRetryIntervalInMilliseconds > 0)) {
        throw new TypeError("retryOptions must be a RetryOptions");
    }
    return {
        firstRetryInterval: retry.firstRetryIntervalInMilliseconds,
        maxAttempts: Math.trunc(retry.maxNumberOfAttempts),
        backoffCoefficient: retry.backoffCoefficient ?? 1,
        maxRetryInterval: retry.maxRetryIntervalInMilliseconds ?? null,
        retryTimeout: retry.retryTimeoutInMilliseconds ?? null,
    };
}

function tags(given) {
    return Object.entries(given ?? {}).map(([name, value]) => ({ name, value: String(value) }));
}

function named(name, what) {
    if (typeof name !== "string" || name === "") {
        throw new TypeError(`${what} needs the name of a function`);
    }
    return name;
}

/** A call that is made once somebody waits for it: what calling a registered function gives. */
class RegisteredTask extends Task {
    #start;
    #call = null;
    #ended = (call) => this.settle(call.isFaulted, call.result);

    constructor(start) {
        super();
        this.#start = start;
    }

    wanted() {
        this.#call ??= this.#start(undefined);
        this.#call.subscribe(this.#ended);
    }

    unwanted() {
        this.#call.unsubscribe(this.#ended);
    }

    withRetry(retryOptions) {
        return this.#start(retryOptions);
    }
}

/** The task of a call of an activity that was declared with `app.activity`. */
export function registeredActivity(name, input) {
    return new RegisteredTask((retry) => startActivity(name, input, { retry }));
}

/** The task of a call of an orchestrator that was declared with `app.orchestration`. */
export function registeredOrchestrator(name, input, instanceId) {
    return new RegisteredTask((retry) => startChild(name, input, { instanceId, retry }));
}

function startActivity(name, input, { retry, timeoutInMilliseconds, tags: given } = {}) {
    const wanted = { retry: policy(retry), timeout: timeoutInMilliseconds ?? null, tags: tags(given) };
    return new AtomicTask(host().orchestration.callActivity(named(name, "callActivity"), encode(input), wanted), name);
}

function startChild(name, input, options) {
    named(name, "callSubOrchestrator");
    return new AtomicTask(host().orchestration.callSubOrchestration(name, encode(input), child(options)), name);
}

function child({ instanceId, version, retry, tags: given }) {
    return { instanceId: instanceId || null, retry: policy(retry), version: version ?? null, tags: tags(given) };
}

/** What an orchestrator gets. */
export class OrchestrationContext {
    constructor(instance, input) {
        this.functionName = instance.name;
        this.invocationId = instance.executionId;
        this.df = new DurableOrchestrationContext(instance, input);
        Object.assign(this, logger());
        // The older form of functions finds its input and its name here.
        this.bindings = { context: input };
        this.bindingData = { instanceId: instance.instanceId };
        this.executionContext = { functionName: instance.name, invocationId: instance.executionId };
    }
}

/** `context.df`: what an orchestrator can do. */
export class DurableOrchestrationContext {
    #input;
    #tags;

    constructor(instance, input) {
        this.instanceId = instance.instanceId;
        this.executionId = instance.executionId;
        this.parentInstanceId = instance.parentInstanceId ?? undefined;
        this.name = instance.name;
        this.version = instance.version ?? undefined;
        this.#tags = instance.tags ?? [];
        /** Always false: code that is replayed and code that runs for the first time is the same code. */
        this.isReplaying = false;
        this.customStatus = undefined;
        this.#input = input;
        this.Task = { all: (tasks) => new AllTask(tasks), any: (tasks) => new AnyTask(tasks) };
    }

    get tags() {
        return Object.fromEntries(this.#tags.map(({ name, value }) => [name, value]));
    }

    get currentUtcDateTime() {
        return new Date(host().orchestration.currentTime());
    }

    getInput() {
        return this.#input;
    }

    callActivity(name, input, options) {
        return startActivity(name, input, options);
    }

    callActivityWithRetry(name, retryOptions, input, options = {}) {
        if (!retryOptions) {
            throw new TypeError("callActivityWithRetry needs RetryOptions");
        }
        return this.callActivity(name, input, { ...options, retry: retryOptions });
    }

    callSubOrchestrator(name, input, instanceId, version, options = {}) {
        return startChild(name, input, { ...options, instanceId, version });
    }

    callSubOrchestratorWithRetry(name, retryOptions, input, instanceId, version) {
        if (!retryOptions) {
            throw new TypeError("callSubOrchestratorWithRetry needs RetryOptions");
        }
        return this.callSubOrchestrator(name, input, instanceId, version, { retry: retryOptions });
    }

    startSubOrchestrator(name, input, options = {}) {
        named(name, "startSubOrchestrator");
        return host().orchestration.startSubOrchestration(name, encode(input), child({ ...options, retry: undefined }));
    }

    createTimer(fireAt) {
        const time = fireAt instanceof Date ? fireAt : new Date(fireAt?.valueOf());
        if (Number.isNaN(time.getTime())) {
            throw new TypeError("createTimer takes the Date at which it fires");
        }
        return new AtomicTask(host().orchestration.createTimer(time.toISOString()), "timer");
    }

    waitForExternalEvent(name) {
        if (typeof name !== "string" || name === "") {
            throw new TypeError("waitForExternalEvent needs the event's name");
        }
        return new AtomicTask(host().orchestration.waitForEvent(name), name);
    }

    sendEvent(instanceId, name, data) {
        host().orchestration.sendEvent(instanceId, name, encode(data));
    }

    setCustomStatus(status) {
        this.customStatus = status;
        host().orchestration.setCustomStatus(encode(status));
    }

    continueAsNew(input, options = {}) {
        host().orchestration.continueAsNew(encode(input), options.keepEvents === true);
    }

    newGuid() {
        return host().orchestration.newGuid();
    }

    callHttp(options) {
        if (typeof options?.url !== "string") {
            throw new TypeError("callHttp needs an object with a url");
        }
        const isJson = options.body !== undefined && options.body !== null && typeof options.body !== "string";
        const headers = { ...(isJson ? { "Content-Type": "application/json" } : {}), ...options.headers };
        const text = isJson ? JSON.stringify(options.body) : options.body;
        const call = {
            method: (options.method ?? "GET").toUpperCase(),
            uri: options.url,
            headers: tags(headers),
            body: text === undefined || text === null ? null : encodeText(text),
        };
        const poll = options.enablePolling ?? options.asynchronousPatternEnabled ?? true;
        const { retryStatuses = [], timeoutInMilliseconds = null } = options;
        const wanted = { retry: policy(options.retry), retryStatuses, timeout: timeoutInMilliseconds, poll, tags: tags(options.tags) };
        return new AtomicTask(host().orchestration.callHttp(call, wanted), options.url);
    }

    callEntity() {
        throw new DurableError("entities are not offered by this host");
    }

    signalEntity() {
        return this.callEntity();
    }
}
