// What a component exports: the interfaces of `durable:functions`.

import * as activityContext from "durable:functions/activity-context@0.1.0";
import * as client from "durable:functions/client@0.1.0";
import * as functionContext from "durable:functions/function-context@0.1.0";
import * as orchestration from "durable:functions/orchestration@0.1.0";
import { drain, run } from "durawasm:engine";
import { toFailure } from "./errors.js";
import { enter, install } from "./host.js";
import { runActivity, runHttp, runTrigger } from "./invocation.js";
import { runOrchestrator } from "./orchestrator.js";
import { all, find } from "./registry.js";

const facts = { sdk: "durawasm-js", version: null };

install({ activityContext, client, functionContext, orchestration, drain, answersAtOnce: true });

/** Says which SDK and engine made the component, and the app's version label. */
export function setFacts(sdk, version) {
    Object.assign(facts, { sdk, version });
}

/** Makes an export of a role's function: what it throws becomes a failure. */
function exported(role, work) {
    const call = async (...args) => {
        enter(role);
        try {
            return await work(...args);
        } catch (error) {
            throw toFailure(error);
        }
    };
    return (...args) => run(() => call(...args));
}

export const describe = {
    describe() {
        const functions = all().map(({ name, kind, config }) => ({ name, kind, config: config ? JSON.stringify(config) : null }));
        return { ...facts, functions };
    },
};

export const orchestrator = {
    run: exported("orchestrator", (name, input) => runOrchestrator(find(["orchestrator"], name).handler, name, input)),
};

export const activity = {
    run: exported("activity", (name, input) => runActivity(find(["activity"], name), input)),
};

export const httpFunction = {
    handle: exported("function", (name, request) => runHttp(find(["http"], name), request)),
};

export const trigger = {
    run: exported("function", (name, input) => runTrigger(find(["manual", "timer"], name), input)),
};
