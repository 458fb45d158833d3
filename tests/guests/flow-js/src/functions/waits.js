// Timers and events.

import * as df from "durable-functions";
import { after, micros } from "../time.js";

df.app.orchestration("Timer", function* (context) {
    const before = context.df.currentUtcDateTime;
    yield context.df.createTimer(after(context, context.df.getInput()));
    return [before, context.df.currentUtcDateTime].map(micros);
});

df.app.orchestration("TimersInOrder", function* (context) {
    let timers = context.df.getInput().map((millis) => ({ millis, task: context.df.createTimer(after(context, millis)) }));
    const order = [];
    while (timers.length > 0) {
        const fired = yield context.df.Task.any(timers.map(({ task }) => task));
        order.push(timers.find(({ task }) => task === fired).millis);
        timers = timers.filter(({ task }) => task !== fired);
    }
    return order;
});

df.app.orchestration("CanceledTimer", function* (context) {
    context.df.createTimer(after(context, 24 * 60 * 60 * 1000)).cancel();
    yield context.df.createTimer(new Date(0));
    return "done";
});

/** Sleeps by the language's own timers, which are durable in an orchestrator. */
df.app.orchestration("StdSleep", async (context) => {
    const before = new Date();
    await new Promise((resolve) => setTimeout(resolve, context.df.getInput()));
    return [before, new Date()].map(micros);
});

df.app.orchestration("Event", function* (context) {
    return yield context.df.waitForExternalEvent(context.df.getInput());
});

df.app.orchestration("EventOrTimeout", function* (context) {
    const event = context.df.waitForExternalEvent("Approval");
    const timer = context.df.createTimer(after(context, context.df.getInput()));
    const winner = yield context.df.Task.any([event, timer]);
    (winner === event ? timer : event).cancel();
    return winner === event ? { event: event.result } : "timed out";
});

df.app.orchestration("CollectEvents", function* (context) {
    const events = [];
    while (events.length < context.df.getInput()) {
        events.push(yield context.df.waitForExternalEvent("Item"));
    }
    return events;
});

df.app.orchestration("TwoWaiters", function* (context) {
    const older = context.df.waitForExternalEvent("Item");
    const newer = context.df.waitForExternalEvent("ITEM");
    return yield context.df.Task.all([older, newer]);
});

df.app.orchestration("FanInOrTimeout", function* (context) {
    const [n, millis, limit] = context.df.getInput();
    const all = context.df.Task.all(Array.from({ length: n }, () => context.df.callActivity("Sleep", millis)));
    const timer = context.df.createTimer(after(context, limit));
    const winner = yield context.df.Task.any([all, timer]);
    if (winner === timer) {
        return null;
    }
    timer.cancel();
    return all.result.length;
});

df.app.orchestration("EventOrTimeout async", async (context) => {
    const event = context.df.waitForExternalEvent("Approval");
    const timer = context.df.createTimer(after(context, context.df.getInput()));
    await context.df.Task.any([event, timer]);
    (event.isCompleted ? timer : event).cancel();
    return event.isCompleted ? { event: event.result } : "timed out";
});

df.app.orchestration("RaceLoop", function* (context) {
    for (let fired = 0; ; fired += 1) {
        const event = context.df.waitForExternalEvent("Tick");
        const timer = context.df.createTimer(after(context, context.df.getInput()));
        const winner = yield context.df.Task.any([event, timer]);
        if (winner === event) {
            return [fired, event.result];
        }
        context.df.setCustomStatus({ fired: fired + 1 });
    }
});
