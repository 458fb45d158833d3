// `app`, `input`, `output`, `trigger`: how functions are declared.

import { register } from "./registry.js";
import { getClient } from "./client-of.js";
import { registeredActivity, registeredOrchestrator } from "./context.js";
import { DurableError } from "./errors.js";

const CLIENTS = ["durableClient", "orchestrationClient"];

/** Whether bindings hold the durable client. */
export function hasClient(bindings) {
    return (bindings ?? []).some((binding) => CLIENTS.includes(binding?.type));
}

/** `options` may be the handler itself. */
function split(options) {
    return typeof options === "function" ? { handler: options } : (options ?? {});
}

function declare(name, kind, given, config) {
    const options = split(given);
    const bindings = [...(options.extraInputs ?? []), ...(options.extraOutputs ?? [])];
    register({
        name,
        kind,
        config,
        handler: options.handler,
        client: hasClient(bindings),
        outputs: (options.extraOutputs ?? []).filter((binding) => CLIENTS.includes(binding?.type)),
    });
}

/** Declares an orchestrator: a generator function or an async function. */
function orchestration(name, options) {
    declare(name, "orchestrator", options);
    return (given, instanceId) => registeredOrchestrator(name, given, instanceId);
}

/** Declares an activity: `{handler: (input, context) => …}`. */
function activity(name, options) {
    declare(name, "activity", options);
    return (given) => registeredActivity(name, given);
}

function httpConfig({ route, methods, authLevel }) {
    return { ...(route === undefined ? {} : { route }), methods: methods ?? [], authLevel: authLevel ?? "anonymous" };
}

/** Declares an HTTP function. */
function http(name, options) {
    const given = split(options);
    declare(name, "http", given, httpConfig({ ...given, methods: given.methods ?? ["GET", "POST"] }));
}

const method = (...methods) => (name, options) => http(name, { ...split(options), methods });

/** What the host is told of a timer function; `where` names it in what its author reads. */
export function timerConfig({ schedule, useMonitor, runOnStartup }, where) {
    if (typeof schedule !== "string") {
        throw new TypeError(`${where} needs a schedule, for example "0 */5 * * * *"`);
    }
    return { schedule, useMonitor: useMonitor !== false, runOnStartup: runOnStartup === true };
}

/** Declares a function that is run by a schedule of six fields. */
function timer(name, options) {
    const given = split(options);
    declare(name, "timer", given, timerConfig(given, `the timer function '${name}'`));
}

/** Declares a function that is run by hand: `POST /admin/functions/NAME`. */
function manual(name, options) {
    declare(name, "manual", options);
}

/** Declares a function by its trigger. */
function generic(name, options) {
    const { trigger: by = {}, ...rest } = options;
    const kinds = {
        orchestrationTrigger: () => orchestration(name, rest),
        activityTrigger: () => activity(name, rest),
        httpTrigger: () => http(name, { ...by, ...rest }),
        timerTrigger: () => timer(name, { ...by, ...rest }),
        manualTrigger: () => manual(name, rest),
    };
    const declared = kinds[by.type];
    if (!declared) {
        throw new DurableError(`the function '${name}' has a trigger of type ${by.type}; this host offers ${Object.keys(kinds).join(", ")}`);
    }
    return declared();
}

/** Declares a function with the durable client as its second parameter. */
function withClient(declareIt) {
    return (name, options) => {
        const { handler, extraInputs = [], ...rest } = split(options);
        const wrapped = async (...args) => {
            const context = args.at(-1);
            return handler(args[0], getClient(context), context);
        };
        if (typeof handler !== "function") {
            throw new TypeError(`the function '${name}' has no handler`);
        }
        return declareIt(name, { ...rest, extraInputs: [...extraInputs, input.durableClient()], handler: wrapped });
    };
}

export const input = {
    durableClient: () => ({ type: "durableClient", name: "client" }),
    generic: (options) => ({ ...options }),
};

export const output = {
    durableClient: (options = {}) => ({ type: "durableClient", name: "starter", direction: "out", ...options }),
    http: (options = {}) => ({ type: "http", name: "$return", ...options }),
    generic: (options) => ({ ...options }),
};

export const trigger = {
    orchestration: () => ({ type: "orchestrationTrigger", name: "context" }),
    activity: () => ({ type: "activityTrigger", name: "input" }),
    http: (options = {}) => ({ type: "httpTrigger", ...options }),
    timer: (options = {}) => ({ type: "timerTrigger", ...options }),
    manual: () => ({ type: "manualTrigger" }),
    generic: (options) => ({ ...options }),
};

const unsupported = (what) => (name) => {
    throw new DurableError(`'${name}': ${what} are not offered by this host`);
};

/** There, so that code which names it says what is missing. */
export class EntityId {
    constructor(name) {
        unsupported("entities")(name);
    }
}

/** Triggers and bindings of the original that this host does not have. */
const OTHERS = [
    "connectorTrigger", "cosmosDB", "eventGrid", "eventHub", "mcpTool", "mySql", "serviceBusQueue", "serviceBusTopic", "sql",
    "storageBlob", "storageQueue", "table", "warmup", "webPubSub",
];
const others = (what) => Object.fromEntries(OTHERS.map((name) => [name, unsupported(`${what} of type ${name}`)]));

export const app = {
    ...others("triggers"),
    orchestration,
    activity,
    http,
    get: method("GET"),
    post: method("POST"),
    put: method("PUT"),
    patch: method("PATCH"),
    deleteRequest: method("DELETE"),
    timer,
    manual,
    generic,
    entity: unsupported("entities"),
    setup: () => {},
    client: {
        ...others("triggers"),
        http: withClient(http),
        get: withClient(method("GET")),
        post: withClient(method("POST")),
        put: withClient(method("PUT")),
        patch: withClient(method("PATCH")),
        deleteRequest: withClient(method("DELETE")),
        timer: withClient(timer),
        manual: withClient(manual),
        generic: withClient(generic),
    },
};
