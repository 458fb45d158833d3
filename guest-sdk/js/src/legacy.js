// The older form: a folder with function.json and a module that exports the function.

import { remember } from "./client-of.js";
import { hasClient, timerConfig } from "./app.js";
import { startOutputs } from "./invocation.js";
import { register } from "./registry.js";
import { DurableError } from "./errors.js";

const KINDS = {
    orchestrationTrigger: "orchestrator",
    activityTrigger: "activity",
    httpTrigger: "http",
    timerTrigger: "timer",
    manualTrigger: "manual",
};

/** Marks the generator of `module.exports = df.orchestrator(function* (context) {…})`. */
export function orchestrator(generator) {
    return generator;
}

/** Registers the function of a folder. `exported`: its module; `entryPoint`: the name of the function in it. */
export function registerFolder(name, definition, exported) {
    const bindings = definition.bindings ?? [];
    const by = bindings.find((binding) => String(binding.type).endsWith("Trigger"));
    // A sample without a trigger can still be run by hand.
    const kind = by ? KINDS[by.type] : "manual";
    if (!kind) {
        throw new DurableError(`${name}/function.json: a trigger of type ${by.type} is not offered by this host; it offers ${Object.keys(KINDS).join(", ")}`);
    }
    const run = functionOf(name, definition, exported);
    const call = { name, bindings, by, run };
    register({
        name,
        kind,
        config: configOf(kind, by ?? {}, name),
        client: hasClient(bindings),
        handler: kind === "orchestrator" ? run : (input, context) => invoke(call, input, context),
    });
}

function functionOf(name, definition, exported) {
    const module = exported?.default ?? exported;
    const candidates = definition.entryPoint
        ? [exported?.[definition.entryPoint], module?.[definition.entryPoint]]
        : [module, exported?.run, exported?.index, module?.run, module?.index];
    const run = candidates.find((candidate) => typeof candidate === "function");
    if (!run) {
        throw new DurableError(`${name}: its module exports no function; use module.exports = async function (context, …) {…}`);
    }
    return run;
}

function configOf(kind, by, name) {
    if (kind === "http") {
        return { ...(by.route === undefined ? {} : { route: by.route }), methods: by.methods ?? [], authLevel: by.authLevel ?? "function" };
    }
    if (kind === "timer") {
        return timerConfig(by, `${name}/function.json: its timerTrigger`);
    }
    return undefined;
}

/** The request as the older form has it. */
async function requestOf(request) {
    const rawBody = await request.text();
    const headers = Object.fromEntries(request.headers);
    let body = rawBody === "" ? undefined : rawBody;
    if (/^application\/(.+\+)?json\b/i.test(headers["content-type"] ?? "") && body !== undefined) {
        try {
            body = JSON.parse(rawBody);
        } catch {
            // What is not JSON stays the text that it is.
        }
    }
    const query = Object.fromEntries(request.query);
    return { method: request.method, url: request.url, originalUrl: request.url, headers, query, params: request.params, body, rawBody, get: (name) => headers[name.toLowerCase()] };
}

/** Calls a function of the older form: it may return its result, put it into `context.bindings`, or call `context.done`. */
async function invoke({ name, bindings, by, run }, input, current) {
    const isHttp = by?.type === "httpTrigger";
    const given = isHttp ? await requestOf(input) : input;
    let finished;
    const done = new Promise((resolve, reject) => {
        finished = (error, result) => (error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve(result));
    });
    const context = {
        ...current,
        bindings: { ...(by ? { [by.name]: given } : {}) },
        bindingData: { invocationId: current.invocationId, ...(isHttp ? given.params : {}) },
        executionContext: { functionName: name, invocationId: current.invocationId },
        done: (error, result) => finished(error, result),
        ...(isHttp ? { req: given, res: responseOf(() => finished(null)) } : {}),
    };
    remember(context, { client: hasClient(bindings), name, legacy: true });
    const returned = run(context, given);
    // An async function ends by itself; any other says so.
    const ends = typeof returned?.then === "function" || run.length < 1 || !/\bdone\s*\(|\.(send|json|end)\s*\(/.test(Function.prototype.toString.call(run));
    const result = ends ? await returned : await done;
    const outputs = bindings.filter((binding) => binding.direction === "out");
    const isClient = (output) => outputs.some((binding) => binding.name === output && hasClient([binding]));
    await startOutputs(Object.entries(context.bindings).filter(([output]) => output !== by?.name), isClient);
    return isHttp ? httpResult(context, outputs, result) : result;
}

/** `context.res`: an object to fill, with the methods that some use. */
function responseOf(finished) {
    const response = {
        status(code) {
            response.statusCode = code;
            return response;
        },
        set(name, value) {
            response.headers = { ...response.headers, [name]: value };
            return response;
        },
        send(body) {
            response.body = body;
            finished();
            return response;
        },
        json: (body) => response.set("Content-Type", "application/json").send(body),
        end: (body) => response.send(body),
    };
    response.header = response.set;
    return response;
}

function httpResult(context, outputs, result) {
    const named = outputs.find((binding) => binding.type === "http" && binding.name !== "$return");
    const given = result ?? context.bindings[named?.name] ?? context.res;
    const isPlain = given === null || typeof given !== "object";
    const { body, headers } = isPlain ? { body: given } : given;
    const status = isPlain ? 200 : (typeof given.status === "function" ? given.statusCode : given.status) ?? given.statusCode ?? 200;
    const asIs = body === undefined || body === null || typeof body === "string" || ArrayBuffer.isView(body);
    return asIs ? { status, headers, body } : { status, headers, jsonBody: body };
}
