// What else the context can do, and what the language's own library does.

import * as df from "durable-functions";

df.app.orchestration("Custom", function* (context) {
    for (let step = 0; step < (context.df.getInput() ?? 0); step += 1) {
        context.df.setCustomStatus({ step });
        yield context.df.waitForExternalEvent("Next");
    }
    context.df.setCustomStatus("finished");
});

df.app.orchestration("ContinueAsNew", function* (context) {
    const [left, done] = context.df.getInput();
    if (left === 0) {
        return done;
    }
    yield context.df.callActivity("Square", left);
    context.df.setCustomStatus({ left });
    context.df.continueAsNew([left - 1, done + 1], { keepEvents: true });
});

df.app.orchestration("Eternal", function* (context) {
    const [keep, sum] = context.df.getInput();
    const number = yield context.df.waitForExternalEvent("Add");
    if (number === 0) {
        return sum;
    }
    context.df.continueAsNew([keep, sum + number], { keepEvents: keep });
});

df.app.orchestration("Guids", async (context) => {
    const seen = [chances(context)];
    if (context.df.getInput()) {
        await context.df.waitForExternalEvent("Go");
    }
    seen.push(await context.df.callActivity("Echo", chances(context)));
    return seen;
});

function chances(context) {
    return {
        first: context.df.newGuid(),
        second: context.df.newGuid(),
        uuid: crypto.randomUUID(),
        random: [Math.random(), Math.random(), ...crypto.getRandomValues(new Uint8Array(4))],
        now: context.df.currentUtcDateTime,
        date: new Date(),
        performance: typeof performance.now(),
    };
}

/** What the library's chance, clock and timers are like, in words that are the same for all languages. */
df.app.orchestration("Chance", async (context) => {
    const draw = () => `${Math.random()} ${crypto.randomUUID()} ${crypto.getRandomValues(new Uint8Array(8))}`;
    const [drawn, began] = [draw(), Date.now()];
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const slept = Date.now() - began >= 1500;
    const clock = Date.now() === context.df.currentUtcDateTime.getTime();
    const told = await context.df.callActivity("Echo", { clock, slept });
    return [told, draw() !== drawn];
});

df.app.orchestration("Identity", function* (context) {
    const { instanceId, parentInstanceId, name, version, tags, isReplaying } = context.df;
    return { instanceId, parentInstanceId, name, version, tags, isReplaying };
});

df.app.orchestration("Logs", function* (context) {
    context.trace("a trace line");
    context.debug("a debug line");
    context.info("an info line");
    yield context.df.callActivity("LogLine", "an activity's line");
    context.warn("a warn line");
    console.error("an %s line %d", "error", 1, { of: "several parts" });
});

df.app.orchestration("SendEvent", function* (context) {
    const [target, name, data] = context.df.getInput();
    context.df.sendEvent(target, name, data);
});

/** Promises of all kinds, between durable ones. */
df.app.orchestration("Promises", async (context) => {
    const order = [];
    const note = (text) => order.push(text);
    queueMicrotask(() => note("microtask"));
    const first = context.df.callActivity("Echo", 1);
    const failing = context.df.callActivity("Fail", true).catch((error) => `caught ${error.message}`);
    for await (const value of (async function* () {
        yield await first;
        yield 2;
    })()) {
        note(value);
    }
    note(await failing);
    note((await Promise.allSettled([Promise.reject(new Error("no")), context.df.callActivity("Echo", 3)])).map((each) => each.status).join());
    note(await Promise.race([new Promise(() => {}), context.df.callActivity("Echo", "won")]));
    note(await Promise.any([Promise.reject(1), Promise.resolve("any")]));
    let ticks = 0;
    const interval = setInterval(() => {
        ticks += 1;
        if (ticks === 3) {
            clearInterval(interval);
        }
    }, 1000);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    note(ticks);
    await context.df.Task.any([context.df.callActivity("Echo", "x"), context.df.waitForExternalEvent("Never")]).then(note);
    return order;
});
