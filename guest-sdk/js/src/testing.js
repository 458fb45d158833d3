// Runs functions in Node.js, without Wasm and without a server: for the tests of their authors.

import { toFailure } from "./errors.js";
import { enter, install } from "./host.js";
import { HttpRequest } from "./http.js";
import { encode, decode } from "./json.js";
import { runActivity as activityOf, runHttp as httpOf, runTrigger as triggerOf } from "./invocation.js";
import { runOrchestrator } from "./orchestrator.js";
import { find } from "./registry.js";
import { NonDeterminismError, Simulation, continued } from "./simulation.js";
import { virtualise } from "./virtual.js";

export { NonDeterminismError };

/** Executions after which an orchestrator that always continues as new is stopped. */
const EXECUTIONS = 100;

/**
 * Runs an orchestrator to its end in simulated time: timers fire at once, activities are the app's own or those in
 * `options.activities`. Each execution runs twice, the second time on what the first one recorded.
 */
export async function runOrchestration(name, options = {}) {
    const leave = virtualise();
    try {
        return await inSimulation(name, options);
    } finally {
        leave();
    }
}

async function inSimulation(name, options) {
    const simulation = new Simulation(name, options, childOf(options));
    let input = encode(options.input);
    const most = options.maxExecutions ?? EXECUTIONS;
    for (let execution = 1; ; execution += 1) {
        const end = await execute(simulation, input);
        await checkRepeats(simulation, input, end);
        if (end.failure) {
            return simulation.result({ runtimeStatus: "Failed", output: null, error: end.error, failure: end.failure });
        }
        const next = continued(simulation);
        if (next && execution >= most) {
            return simulation.result({ runtimeStatus: "ContinuedAsNew", output: null, input: decode(next.input) });
        }
        if (!next) {
            return simulation.result({ runtimeStatus: "Completed", output: decode(end.output) });
        }
        input = next.input;
    }
}

/** One execution: its output as a text, or what it failed with. */
async function execute(simulation, input) {
    const leave = install(simulation.host());
    enter("orchestrator");
    try {
        return { output: await runOrchestrator(find(["orchestrator"], simulation.name).handler, simulation.name, input) };
    } catch (error) {
        return { error, failure: toFailure(error) };
    } finally {
        leave();
    }
}

/** Throws a `NonDeterminismError` if the orchestrator does something else when it runs again. */
async function checkRepeats(simulation, input, end) {
    const again = simulation.again();
    const repeated = await execute(again, input);
    const shown = ({ output, failure }) => (failure ? `failed with ${failure.errorType}: ${failure.message}` : `returned ${output ?? "nothing"}`);
    const otherEnd = shown(end) === shown(repeated) ? null : `it ${shown(end)}; when it ran again on what was recorded, it ${shown(repeated)}`;
    const difference = again.difference() ?? otherEnd;
    if (difference !== null) {
        throw new NonDeterminismError(
            `the orchestrator '${simulation.name}' is not deterministic: ${difference}. Take what it decides by from its input, ` +
                "its tasks and context.df, not from variables that outlive a run, files or the network",
        );
    }
}

/** Runs code of the test: it has the clock and the chances of Node.js. */
async function aside(work) {
    const leave = install(null);
    enter(null);
    try {
        return await work();
    } finally {
        leave();
    }
}

/** How a simulation runs what an orchestrator calls. */
function childOf(options) {
    return {
        async activity(name, input, info) {
            const own = options.activities?.[name];
            return own ? encode(await aside(() => own(decode(input), info))) : activityIn(find(["activity"], name), input, info, options);
        },
        async http(request) {
            if (!options.http) {
                const reason = `nothing answers ${request.method} ${request.url}: give runOrchestration the option http`;
                throw Object.assign(new Error(reason), { nonRetriable: true });
            }
            return aside(() => options.http(request));
        },
        async orchestrator(name, input, instanceId, now, parent) {
            const own = options.orchestrators?.[name];
            if (own) {
                return { output: encode(await aside(() => own(decode(input)))), now };
            }
            const inner = { ...options, input: decode(input), instanceId, parentInstanceId: parent, start: now, events: options.childEvents?.[instanceId] ?? [] };
            const ended = await runOrchestration(name, inner);
            if (ended.runtimeStatus !== "Completed") {
                throw ended.error ?? new Error(`${name} is ${ended.runtimeStatus}`);
            }
            return { output: encode(ended.output), now: ended.now };
        },
    };
}

async function activityIn(entry, input, info, options) {
    const heartbeats = [];
    const activityContext = {
        info: () => ({ instanceId: "test", task: 1, attempt: 1, idempotencyKey: "test-1", lastHeartbeat: null, ...info, name: entry.name }),
        heartbeat: (details) => heartbeats.push(decode(details)) > 0 && options.cancelled === true,
        log: options.log ?? (() => {}),
    };
    const leave = install({ activityContext, testClient: options.client });
    enter("activity");
    try {
        return await activityOf(entry, input);
    } finally {
        leave();
    }
}

/** Runs an activity; gives its result. `options.attempt`, `options.lastHeartbeat` and the like say what its context shows. */
export async function runActivity(name, input, options = {}) {
    const { lastHeartbeat, ...info } = options;
    return decode(await activityIn(find(["activity"], name), encode(input), { ...info, lastHeartbeat: encode(lastHeartbeat) }, options));
}

async function inFunction(options, work) {
    const functionContext = { info: () => ({ name: "test", invocationId: "test", hub: "default" }), log: options.log ?? (() => {}) };
    const leave = install({ functionContext, testClient: options.client });
    enter("function");
    try {
        return await work();
    } finally {
        leave();
    }
}

/** Calls an HTTP function. `request` as for `new HttpRequest`; `options.client`: what `df.getClient` gives. */
export async function callHttp(name, request = {}, options = {}) {
    const made = new HttpRequest(request);
    const tags = (pairs) => [...pairs].map(([key, value]) => ({ name: key, value }));
    const body = await made.bytes();
    const wire = { method: made.method, url: made.url, headers: tags(made.headers), query: tags(made.query), params: tags(Object.entries(made.params)), body };
    const { status, headers, body: answer } = await inFunction(options, () => httpOf(find(["http"], name), wire));
    const text = new TextDecoder().decode(answer);
    return { status, headers: Object.fromEntries(headers.map((header) => [header.name, header.value])), text, json: () => JSON.parse(text) };
}

/** Runs a manual or timer function. */
export async function runTrigger(name, input, options = {}) {
    return decode(await inFunction(options, () => triggerOf(find(["manual", "timer"], name), encode(input))));
}
