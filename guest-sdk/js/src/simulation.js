// A host for tests: tasks complete in simulated time, without anything being durable.

import { toFailure } from "./errors.js";
import { decode, encode } from "./json.js";

/** What something outside of the orchestrator does. */
const WORK = new Set(["activity", "orchestrator", "http"]);
const NEVER = Number.POSITIVE_INFINITY;

/** One instance. */
export class Simulation {
    constructor(name, options, child) {
        this.name = name;
        this.child = child;
        this.instanceId = options.instanceId ?? "test";
        this.parentInstanceId = options.parentInstanceId ?? null;
        this.now = new Date(options.start ?? "2026-01-01T00:00:00Z").getTime();
        this.version = options.version ?? null;
        this.tags = Object.entries(options.tags ?? {}).map(([key, value]) => ({ name: key, value }));
        const at = (event) => this.now + (event.after ?? 0);
        this.coming = (options.events ?? []).map((event) => ({ ...event, time: at(event) })).sort((one, other) => one.time - other.time);
        this.buffered = [];
        this.execution = 0;
        this.calls = [];
        this.logs = [];
        this.sent = [];
        this.customStatus = null;
        this.guids = 0;
    }

    /** The interfaces for the next execution. */
    host() {
        this.execution += 1;
        this.tasks = new Map();
        this.next = null;
        return {
            orchestration: this.#orchestration(),
            // By then every promise has gone as far as it can.
            drain: () => new Promise((resolve) => setImmediate(resolve)),
        };
    }

    result(end) {
        const { calls, logs, sent, customStatus, now } = this;
        return { ...end, customStatus, calls, logs, sent, now: new Date(now), executions: this.execution };
    }

    #add(task) {
        const id = this.tasks.size + 1;
        this.tasks.set(id, { id, time: NEVER, made: this.now, canceled: false, outcome: null, ...task });
        return id;
    }

    #orchestration() {
        const started = { instanceId: this.instanceId, executionId: `${this.instanceId}-${this.execution}`, parentInstanceId: this.parentInstanceId, name: this.name, version: this.version, tags: this.tags };
        return {
            instance: () => started,
            currentTime: () => new Date(this.now).toISOString(),
            callHttp: (call, options) => this.#http(call, options),
            callActivity: (name, input, options) => this.#call("activity", name, input, options),
            callSubOrchestration: (name, input, options) => this.#call("orchestrator", name, input, options),
            startSubOrchestration: (name, input, options) => {
                const instanceId = options.instanceId ?? `${this.instanceId}:${this.calls.length + 1}`;
                this.calls.push({ kind: "start", name, input: decode(input), instanceId });
                return instanceId;
            },
            createTimer: (fireAt) => this.#add({ kind: "timer", time: Math.max(this.now, Date.parse(fireAt)), outcome: { value: null } }),
            waitForEvent: (name) => this.#wait(name),
            cancel: (id) => void (this.tasks.get(id).canceled = true),
            whenAny: (ids) => this.#any(ids),
            whenAll: async (ids) => {
                const open = new Set(ids);
                while (open.size > 0) {
                    open.delete(await this.#any([...open]));
                }
            },
            getResult: (id) => {
                const { outcome } = this.tasks.get(id);
                if (outcome.failure) {
                    throw outcome.failure;
                }
                return outcome.value;
            },
            newGuid: () => `00000000-0000-5000-8000-${String((this.guids += 1)).padStart(12, "0")}`,
            setCustomStatus: (status) => void (this.customStatus = decode(status)),
            sendEvent: (instanceId, name, data) => this.#send(instanceId, name, data),
            continueAsNew: (input, keepEvents) => void (this.next = { input, keepEvents }),
            log: (level, message) => void this.logs.push({ level, message }),
        };
    }

    #call(kind, name, input, options) {
        this.calls.push({ kind, name, input: decode(input) });
        return this.#add({ kind, name, input, retry: options.retry, instanceId: options.instanceId ?? `${this.instanceId}:${this.calls.length}` });
    }

    #http(call, options) {
        const { method, uri, headers } = call;
        const request = { method, url: uri, headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])), body: textOf(call.body) };
        this.calls.push({ kind: "http", name: `${method} ${uri}`, input: request.body });
        return this.#add({ kind: "http", name: `${method} ${uri}`, request, retry: options.retry, retryStatuses: [...options.retryStatuses] });
    }

    #wait(name) {
        const folded = name.toLowerCase();
        const at = this.buffered.findIndex((event) => event.name.toLowerCase() === folded);
        const [event] = at < 0 ? [] : this.buffered.splice(at, 1);
        return this.#add({ kind: "event", name: folded, ...(event ? { time: this.now, outcome: { value: encode(event.data) } } : {}) });
    }

    #send(instanceId, name, data) {
        this.sent.push({ instanceId, name, data: decode(data) });
        if (instanceId === this.instanceId) {
            this.#arrive({ name, data: decode(data), time: this.now });
        }
    }

    /** An event has come: the newest who waits for it gets it. */
    #arrive(event) {
        const waits = (task) => task.kind === "event" && task.name === event.name.toLowerCase() && !task.outcome && !task.canceled;
        const waiter = [...this.tasks.values()].filter(waits).at(-1);
        if (waiter) {
            Object.assign(waiter, { time: event.time, outcome: { value: encode(event.data) } });
        } else {
            this.buffered.push(event);
        }
    }

    async #any(ids) {
        for (const task of this.tasks.values()) {
            if (WORK.has(task.kind) && !task.outcome && !task.canceled) {
                await this.#perform(task);
            }
        }
        for (;;) {
            const ended = ids.map((id) => this.tasks.get(id)).filter((task) => task.outcome && !task.canceled);
            const [first] = ended.sort((one, other) => one.time - other.time || one.id - other.id);
            const event = this.coming[0];
            if (event && event.time <= (first?.time ?? NEVER)) {
                this.coming.shift();
                this.#arrive(event);
            } else if (first) {
                this.now = Math.max(this.now, first.time);
                return first.id;
            } else {
                const waits = ids.map((id) => this.tasks.get(id)).map((task) => `${task.kind} ${task.name ?? ""}`.trim());
                throw new Error(`the test gives nothing that would complete: ${waits.join(", ")}. Give events with the option events`);
            }
        }
    }

    /** Runs what was called, with its retry policy. */
    async #perform(task) {
        const { retry } = task;
        let time = task.made;
        for (let attempt = 1; ; attempt += 1) {
            try {
                const { output, now } = await this.#attempt(task, attempt, time);
                Object.assign(task, { time: now, outcome: { value: output } });
                return;
            } catch (error) {
                const failure = toFailure(error);
                const wait = retry ? Math.min(retry.firstRetryInterval * retry.backoffCoefficient ** (attempt - 1), retry.maxRetryInterval ?? NEVER) : 0;
                const late = retry?.retryTimeout !== null && time + wait > task.made + (retry?.retryTimeout ?? NEVER);
                if (!retry || attempt >= retry.maxAttempts || failure.nonRetriable || late) {
                    Object.assign(task, { time, outcome: { failure } });
                    return;
                }
                time += wait;
            }
        }
    }

    /** What the test answers a request with. */
    async #answer({ name, request, retry, retryStatuses }) {
        const { statusCode = 200, headers = {}, content = null } = await this.child.http(request);
        const isWrong = retryStatuses.length > 0 ? retryStatuses.includes(statusCode) : statusCode >= 400;
        if (retry && isWrong) {
            throw Object.assign(new Error(`${name} was answered with ${statusCode}`), { name: "HttpError" });
        }
        return { statusCode, headers, content };
    }

    async #attempt(task, attempt, time) {
        if (task.kind === "activity") {
            const info = { instanceId: this.instanceId, task: task.id, attempt, idempotencyKey: `${this.instanceId}-${task.id}-${attempt}` };
            return { output: await this.child.activity(task.name, task.input, info), now: time };
        }
        if (task.kind === "http") {
            return { output: encode(await this.#answer(task)), now: time };
        }
        const { output, now } = await this.child.orchestrator(task.name, task.input, task.instanceId, new Date(time), this.instanceId);
        return { output, now: new Date(now).getTime() };
    }
}

function textOf(body) {
    return body === null ? null : new TextDecoder().decode(Uint8Array.from(body));
}

/** What an execution that ended continues as new with, if it does. */
export function continued(simulation) {
    const { next } = simulation;
    if (next && !next.keepEvents) {
        simulation.buffered = [];
    }
    return next;
}
