// Functions that the tests run.

import * as df from "durawasm";

export const sayHello = df.app.activity("SayHello", { handler: (name) => `Hello ${name}!` });

df.app.orchestration("Hello", function* (context) {
    const greetings = [];
    for (const city of ["Tokyo", "Seattle"]) {
        greetings.push(yield context.df.callActivity("SayHello", city));
    }
    context.log("greeted %d", greetings.length);
    return greetings;
});

df.app.orchestration("Registered", function* () {
    const retry = new df.RetryOptions(1000, 3);
    return [yield sayHello("Ada"), yield sayHello("Bob").withRetry(retry)];
});

df.app.orchestration("Approval", function* (context) {
    const approval = context.df.waitForExternalEvent("Approval");
    const timer = context.df.createTimer(new Date(context.df.currentUtcDateTime.getTime() + 60_000));
    context.df.setCustomStatus("asking");
    const winner = yield context.df.Task.any([approval, timer]);
    if (winner === timer) {
        return "expired";
    }
    timer.cancel();
    return approval.result ? "approved" : "rejected";
});

df.app.orchestration("Retries", async (context) => {
    const retry = Object.assign(new df.RetryOptions(1000, 4), { backoffCoefficient: 2 });
    return [await context.df.callActivityWithRetry("Flaky", retry, 3), context.df.currentUtcDateTime];
});

df.app.activity("Flaky", {
    handler: (succeeds, { activity }) => {
        if (activity.attempt < succeeds) {
            throw new RangeError(`attempt ${activity.attempt}`);
        }
        return activity.attempt;
    },
});

df.app.orchestration("FailsFast", function* (context) {
    try {
        yield context.df.Task.all([context.df.waitForExternalEvent("Never"), context.df.callActivity("Flaky", 9)]);
    } catch (error) {
        return [error instanceof df.TaskFailedError, error.failureDetails.errorType, error.message];
    }
});

df.app.orchestration("Parent", function* (context) {
    const child = yield context.df.callSubOrchestrator("Child", 3, "kid");
    const id = context.df.startSubOrchestrator("Audit", child);
    context.df.sendEvent("somebody", "Done", child);
    return [child, id];
});

df.app.orchestration("Child", function* (context) {
    yield context.df.createTimer(new Date(context.df.currentUtcDateTime.getTime() + 5000));
    const event = yield context.df.waitForExternalEvent("go");
    return [context.df.parentInstanceId, context.df.getInput(), event];
});

df.app.orchestration("Counts", function* (context) {
    const n = context.df.getInput();
    if (n < 3) {
        context.df.continueAsNew(n + 1);
        return null;
    }
    return n;
});

df.app.orchestration("Passes", function* (context) {
    yield context.df.callActivity("Flaky", 2);
});

df.app.orchestration("Wraps", async (context) => {
    try {
        await context.df.callActivity("Flaky", 2);
    } catch (error) {
        throw new df.NonRetriableError("it is of no use", { cause: error });
    }
});

df.app.orchestration("Fetches", function* (context) {
    const url = "http://localhost/jobs";
    const made = yield context.df.callHttp({ method: "post", url, body: { a: 1 }, retry: new df.RetryOptions(1000, 3) });
    const asked = yield context.df.callHttp({ method: "GET", url: `${url}/1` });
    return [made.statusCode, asked.statusCode, asked.content];
});

df.app.client.http("Start", {
    handler: async (request, client) => {
        const id = await client.startNew("Hello", { input: await request.json() });
        return { status: 202, jsonBody: { id } };
    },
});

df.app.http("Echo", {
    handler: async (request) => ({ body: `${request.method} ${request.query.get("a")} ${await request.text()}`, headers: { "X-A": "b" } }),
});

df.app.timer("Nightly", { schedule: "0 0 3 * * *", handler: (timer, context) => context.log("past due", timer.isPastDue) });

let runs = 0;

/** What it calls depends on what outlives a run. */
df.app.orchestration("Forgets", function* (context) {
    runs += 1;
    yield context.df.callActivity("SayHello", "Ada");
    yield context.df.callActivity("SayHello", runs);
});

df.app.orchestration("StopsEarly", function* (context) {
    runs += 1;
    for (let left = 2 - (runs % 2); left > 0; left -= 1) {
        yield context.df.callActivity("SayHello", "Ada");
    }
});

df.app.orchestration("EndsOtherwise", function* () {
    runs += 1;
    return runs;
});

/** The clock, chance and timers of the language's library. */
df.app.orchestration("UsesTheLibrary", async (context) => {
    const drawn = [Date.now(), new Date(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(2))]];
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    console.warn("slept until %s", new Date().toISOString());
    await context.df.callActivity("SayHello", drawn);
    return [drawn, new Date(0) instanceof Date, Date.now() - drawn[0]];
});

df.app.activity("ReadsTheClock", { handler: () => Date.now() });

df.app.orchestration("AsksForTheTime", function* (context) {
    return yield context.df.callActivity("ReadsTheClock");
});
