// A host for tests: tasks complete in simulated time, without anything being durable.

import { toFailure } from "./errors.js";
import { decode, encode } from "./json.js";

/** What something outside of the orchestrator does. */
const WORK = new Set(["activity", "orchestrator", "http"]);
const NEVER = Number.POSITIVE_INFINITY;

/** Thrown by `runOrchestration`: the orchestrator did something else when it ran again on what was recorded. */
export class NonDeterminismError extends Error {
    constructor(message) {
        super(message);
        this.name = "NonDeterminismError";
    }
}

/** One instance. */
export class Simulation {
    /** Of a replay: the steps of the execution that it repeats, and its tasks with what they came to. */
    #recorded = null;
    /** What an execution begins with, to begin it again. */
    #began = null;
    /** Where this replay left what is recorded. */
    #difference = null;
    #random = null;


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
        this.steps = [];
        this.#random = randomOf(`${this.instanceId} ${this.execution}`);
        const { now, coming, buffered, guids } = this;
        this.#began = { now, coming: [...coming], buffered: [...buffered], guids };
        return {
            orchestration: this.#orchestration(),
            simulated: { now: () => this.now, random: () => this.#random(), isReplay: this.#recorded !== null },
            // By then every promise has gone as far as it can.
            drain: () => new Promise((resolve) => setImmediate(resolve)),
        };
    }

    /** The execution that has just ended, to be run again: its tasks come to what they came to. */
    again() {
        const { name, child, instanceId, parentInstanceId, version, tags, customStatus } = this;
        const again = new Simulation(name, { instanceId }, child);
        Object.assign(again, { parentInstanceId, version, tags, customStatus, ...this.#began, execution: this.execution - 1 });
        again.#recorded = { steps: this.steps, tasks: this.tasks };
        return again;
    }

    /** Of a replay that has ended: what it did otherwise, as a sentence; null: nothing. */
    difference() {
        const missing = this.#recorded.steps[this.steps.length];
        return this.#difference ?? (missing ? this.#differs(missing, "it did not make it") : null);
    }

    #differs(recorded, now) {
        const number = this.steps.length + (now === "it did not make it" ? 1 : 0);
        return `its call ${number} was ${recorded}; when it ran again on what was recorded, ${now}`;
    }

    /** Notes what the orchestrator does. In a replay it must be what is recorded. */
    #step(kind, name, input) {
        const step = [kind, name, ...(input === undefined || input === null ? [] : [JSON.stringify(input)])].join(" ").slice(0, 300);
        this.steps.push(step);
        if (this.#recorded === null) {
            return;
        }
        const recorded = this.#recorded.steps[this.steps.length - 1];
        if (recorded !== step) {
            this.#difference ??= recorded
                ? this.#differs(recorded, `it was ${step}`)
                : `it made ${this.steps.length - 1} calls; when it ran again on what was recorded, it went on with ${step}`;
            throw new NonDeterminismError(this.#difference);
        }
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
                this.#step("start", name, decode(input));
                this.calls.push({ kind: "start", name, input: decode(input), instanceId });
                return instanceId;
            },
            createTimer: (fireAt) => {
                this.#step("timer", fireAt);
                return this.#add({ kind: "timer", time: Math.max(this.now, Date.parse(fireAt)), outcome: { value: null } });
            },
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
        this.#step(kind, name, decode(input));
        this.calls.push({ kind, name, input: decode(input) });
        return this.#add({ kind, name, input, retry: options.retry, instanceId: options.instanceId ?? `${this.instanceId}:${this.calls.length}` });
    }

    #http(call, options) {
        const { method, uri, headers } = call;
        const request = { method, url: uri, headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])), body: textOf(call.body) };
        this.#step("http", `${method} ${uri}`, request.body);
        this.calls.push({ kind: "http", name: `${method} ${uri}`, input: request.body });
        return this.#add({ kind: "http", name: `${method} ${uri}`, request, retry: options.retry, retryStatuses: [...options.retryStatuses] });
    }

    #wait(name) {
        this.#step("event", name);
        const folded = name.toLowerCase();
        const at = this.buffered.findIndex((event) => event.name.toLowerCase() === folded);
        const [event] = at < 0 ? [] : this.buffered.splice(at, 1);
        return this.#add({ kind: "event", name: folded, ...(event ? { time: this.now, outcome: { value: encode(event.data) } } : {}) });
    }

    #send(instanceId, name, data) {
        this.#step("send-event", `${instanceId} ${name}`, decode(data));
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
        if (this.#recorded !== null) {
            const { time, outcome } = this.#recorded.tasks.get(task.id) ?? {};
            // What had not run by the end of the execution does not run now either.
            Object.assign(task, outcome ? { time, outcome } : {});
            return;
        }
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

/** Numbers in [0, 1) that are the same for the same text. */
function randomOf(text) {
    let state = [...text].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 16_777_619), 2_166_136_261);
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    };
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
