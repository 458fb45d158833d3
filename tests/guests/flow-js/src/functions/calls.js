// Activities and sub-orchestrations in all arrangements.

import * as df from "durable-functions";
import { after } from "../time.js";

df.app.orchestration("Sequence", function* (context) {
    const echoes = [];
    for (const item of context.df.getInput() ?? ["Tokyo", "Seattle", "London"]) {
        echoes.push(yield context.df.callActivity("Echo", item));
    }
    return echoes;
});

df.app.orchestration("OneActivity", function* (context) {
    const [name, input] = context.df.getInput();
    return yield context.df.callActivity(name, input);
});

df.app.orchestration("FanOut", function* (context) {
    const calls = Array.from({ length: context.df.getInput() }, (_, i) => context.df.callActivity("Square", i + 1));
    const squares = yield context.df.Task.all(calls);
    return squares.reduce((sum, square) => sum + square, 0);
});

df.app.orchestration("JoinMixed", async (context) => {
    const { df: durable } = context;
    const activity = durable.callActivity("Echo", "a");
    const timer = durable.createTimer(after(context, 20));
    const child = durable.callSubOrchestrator("Child", 3);
    const group = durable.Task.all([1, 2, 3].map((n) => durable.callActivity("Square", n)));
    const [first, , third, fourth] = await Promise.all([activity, timer, child, group]);
    return { activity: first, child: third, group: fourth };
});

df.app.orchestration("SelectAll", function* (context) {
    let sleeps = context.df.getInput().map((millis) => context.df.callActivity("Sleep", millis));
    const order = [];
    while (sleeps.length > 0) {
        const first = yield context.df.Task.any(sleeps);
        order.push(first.result);
        sleeps = sleeps.filter((sleep) => sleep !== first);
    }
    return order;
});

df.app.orchestration("Unheard", function* (context) {
    context.df.callActivity("Sleep", context.df.getInput());
    context.df.createTimer(after(context, 3_600_000));
    return "done";
});

df.app.orchestration("GivesUp", function* (context) {
    const [name, input] = context.df.getInput();
    const activity = context.df.callActivity(name, input);
    yield context.df.waitForExternalEvent("Stop");
    activity.cancel();
    return "given up";
});

const child = df.app.orchestration("Child", function* (context) {
    const n = context.df.getInput();
    return n === 0 ? yield context.df.waitForExternalEvent("Go") : yield context.df.callActivity("Square", n);
});

df.app.orchestration("Parent", function* (context) {
    const children = context.df.getInput().map((n, index) => {
        const id = index === 0 ? `${context.df.instanceId}-first` : undefined;
        return context.df.callSubOrchestrator("Child", n, id, undefined, { tags: { index } });
    });
    return yield context.df.Task.all(children);
});

/** The same with what declaring a function gives, which calls it. */
df.app.orchestration("Registered", function* (context) {
    return yield context.df.Task.all(context.df.getInput().map((n) => child(n)));
});

df.app.orchestration("FireAndForget", function* (context) {
    return context.df.startSubOrchestrator("Child", context.df.getInput());
});

df.app.orchestration("Race", function* (context) {
    const sleeps = context.df.getInput().map((millis) => context.df.callActivity("Sleep", millis));
    const first = yield context.df.Task.any(sleeps);
    return [sleeps.indexOf(first), first.result];
});

df.app.orchestration("Http", function* (context) {
    const { attempts = 1, ...request } = context.df.getInput();
    const retry = attempts > 1 ? new df.RetryOptions(1000, attempts) : undefined;
    const answer = yield context.df.callHttp({ ...request, retry });
    return [answer.statusCode, answer.content];
});

// The same as async functions.

df.app.orchestration("Sequence async", async (context) => {
    const echoes = [];
    for (const item of context.df.getInput() ?? ["Tokyo", "Seattle", "London"]) {
        echoes.push(await context.df.callActivity("Echo", item));
    }
    return echoes;
});

df.app.orchestration("FanOut async", async (context) => {
    const squares = Array.from({ length: context.df.getInput() }, (_, i) => context.df.callActivity("Square", i + 1));
    return (await Promise.all(squares)).reduce((sum, square) => sum + square, 0);
});

df.app.orchestration("SelectAll async", async (context) => {
    let sleeps = context.df.getInput().map((millis) => context.df.callActivity("Sleep", millis));
    const order = [];
    while (sleeps.length > 0) {
        order.push(await context.df.Task.any(sleeps));
        sleeps = sleeps.filter((sleep) => !sleep.isCompleted);
    }
    return order;
});
