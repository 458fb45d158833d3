// Runs orchestrators: generators and async functions on one loop.

import { host } from "./host.js";
import { decode, encode } from "./json.js";
import { DurableError } from "./errors.js";
import { Task } from "./task.js";
import { scheduler } from "./scheduler.js";
import { OrchestrationContext } from "./context.js";

/** Runs an orchestrator from its start to its end; gives the text of its result, or throws what it threw. */
export async function runOrchestrator(handler, name, input) {
    const leave = scheduler.reset();
    try {
        return await loop(handler, name, input);
    } finally {
        // Tests run a child while its parent waits.
        leave();
    }
}

async function loop(handler, name, input) {
    const context = new OrchestrationContext(host().orchestration.instance(), decode(input));
    let ended = false;
    // In an object: a result that is a task itself must not be waited for.
    const outcome = call(handler, context).then(
        (value) => {
            ended = true;
            return { value };
        },
        (error) => {
            ended = true;
            return { error };
        },
    );
    for (;;) {
        await host().drain();
        if (ended) {
            break;
        }
        if (!(await scheduler.step())) {
            throw stalled(name);
        }
    }
    const { value, error } = await outcome;
    if (error !== undefined) {
        throw error.thrown;
    }
    return encode(value);
}

/** Calls the author's function. What it throws is wrapped, because anything can be thrown. */
async function call(handler, context) {
    try {
        const started = handler(context);
        return isGenerator(started) ? await follow(started, context.df.name) : await started;
    } catch (thrown) {
        throw { thrown };
    }
}

function isGenerator(value) {
    return value !== null && typeof value === "object" && typeof value.next === "function" && typeof value.throw === "function";
}

function stalled(name) {
    return new DurableError(
        `the orchestrator '${name}' waits for something that no durable task will complete: wait for tasks of context.df ` +
            "only, and for none that was canceled",
    );
}

async function follow(generator, name) {
    let step = generator.next();
    while (!step.done) {
        const isPlain = step.value instanceof Task && host().answersAtOnce && !scheduler.promised;
        const outcome = isPlain ? settledNow(step.value, name) : await settled(step.value);
        step = outcome.failed ? generator.throw(outcome.value) : generator.next(outcome.value);
    }
    return step.value;
}

/** The end of a task when no promise has to go on meanwhile: without turns of the event loop, which cost more. */
function settledNow(task, name) {
    const listener = () => {};
    task.subscribe(listener);
    while (!task.isCompleted) {
        if (!scheduler.stepNow()) {
            throw stalled(name);
        }
    }
    return { failed: task.isFaulted, value: task.result };
}

/** The end of what was yielded. In an object: the result of `Task.any` is a task that has to arrive as it is. */
function settled(yielded) {
    if (yielded instanceof Task) {
        return new Promise((resolve) => {
            yielded.subscribe((task) => resolve({ failed: task.isFaulted, value: task.result }));
        });
    }
    if (typeof yielded?.then === "function") {
        return yielded.then((value) => ({ failed: false, value }), (value) => ({ failed: true, value }));
    }
    const value = new TypeError(`an orchestrator yields tasks, for example context.df.callActivity(…); it yielded ${typeof yielded}`);
    return { failed: true, value };
}
