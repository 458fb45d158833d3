// An orchestrator that does what its input says: every arrangement of calls without a function for each.

import * as df from "durable-functions";
import { after } from "../time.js";

class Deliberate extends Error {}

df.app.orchestration("Program", async (context) => {
    const { step, round = 0, rounds = 0 } = context.df.getInput();
    const value = await run(context, step, round);
    if (round < rounds) {
        context.df.continueAsNew({ step: whole(step), round: round + 1, rounds }, { keepEvents: true });
    }
    return value;
});

df.app.orchestration("Deeper", function* (context) {
    return yield context.df.callSubOrchestrator("Deeper", context.df.getInput() + 1);
});

function policy(attempts) {
    const options = new df.RetryOptions(1000, attempts);
    options.backoffCoefficient = 2;
    return options;
}

const steps = {
    echo: ({ df: durable }, value) => durable.callActivity("Echo", value),
    activity: ({ df: durable }, { name, input }) => durable.callActivity(name, input),
    flaky: ({ df: durable }, { succeeds, attempts }) => durable.callActivityWithRetry("FailUntil", policy(attempts), succeeds),
    repaired: ({ df: durable }, { rewinds, attempts = 0 }) =>
        durable.callActivity("Repaired", rewinds, { retry: attempts > 1 ? policy(attempts) : undefined }),
    sleep: (context, seconds) => context.df.createTimer(after(context, seconds * 1000)).then(() => "slept"),
    event: ({ df: durable }, name) => durable.waitForExternalEvent(name),
    child: (context, child, round) => {
        const { name, input, id, retry } = childOf(context, child, round);
        return retry
            ? context.df.callSubOrchestratorWithRetry(name, retry, input, id)
            : context.df.callSubOrchestrator(name, input, id);
    },
    start: (context, child, round) => {
        const { name, input, id } = childOf(context, child, round);
        return context.df.startSubOrchestrator(name, input, { instanceId: id });
    },
    send: ({ df: durable }, { to, name, data }) => {
        const target = to.replace("{self}", durable.instanceId).replace("{parent}", durable.parentInstanceId ?? "");
        durable.sendEvent(target, name, data);
        return "sent";
    },
    seq: async (context, parts, round) => {
        const values = [];
        for (const part of parts) {
            values.push(await run(context, part, round));
        }
        return values;
    },
    all: async (context, parts, round) => {
        const ended = await Promise.allSettled(parts.map((part) => run(context, part, round)));
        const failed = ended.find(({ status }) => status === "rejected");
        if (failed) {
            throw failed.reason;
        }
        return ended.map(({ value }) => value);
    },
    any: (context, parts, round) =>
        Promise.race(parts.map(async (part, index) => run(context, part, round).then((value) => [index, value]))),
    catch: (context, part, round) => run(context, part, round).catch((error) => ({ caught: error.message })),
    undo: async (context, [part, undo], round) => {
        try {
            return await run(context, part, round);
        } catch (error) {
            await run(context, undo, round);
            throw error;
        }
    },
    fail: (_, message) => {
        throw new Deliberate(message);
    },
    status: ({ df: durable }, status) => durable.setCustomStatus(status) ?? null,
    giveUp: (context, part) => {
        const [[kind, argument]] = Object.entries(part);
        const task = kind === "sleep" ? context.df.createTimer(after(context, argument * 1000)) : context.df.waitForExternalEvent(argument);
        task.cancel();
        return "given up";
    },
};

async function run(context, step, round) {
    const [[kind, argument]] = Object.entries(step);
    return steps[kind](context, argument, round);
}

function childOf({ df: durable }, child, round) {
    const { label, step, rounds = 0, attempts = 0, input = null } = child;
    const derived = label ? `${durable.instanceId}.${label}${round === 0 ? "" : `.${round}`}` : undefined;
    return {
        name: child.function ?? "Program",
        input: step ? { step: whole(step), round: 0, rounds } : input,
        id: child.id ?? derived,
        retry: attempts > 1 ? policy(attempts) : undefined,
    };
}

/** The step with all its fields, as typed languages write it: histories are compared. */
function whole(step) {
    const [[kind, argument]] = Object.entries(step);
    if (kind === "repaired") {
        return { repaired: { rewinds: argument.rewinds, attempts: argument.attempts ?? 0 } };
    }
    if (kind === "child" || kind === "start") {
        const { label = null, id = null, function: name = null, input = null, step: inner = null, rounds = 0, attempts = 0 } = argument;
        return { [kind]: { label, id, function: name, input, step: inner && whole(inner), rounds, attempts } };
    }
    if (kind === "catch" || kind === "giveUp") {
        return { [kind]: whole(argument) };
    }
    return Array.isArray(argument) && ["seq", "all", "any", "undo"].includes(kind) ? { [kind]: argument.map(whole) } : step;
}
