// `setTimeout` and its like: in orchestrators they are durable timers.

import { currentRole, host } from "./host.js";
import { scheduler } from "./scheduler.js";
import { AtomicTask } from "./task.js";

/** Calls back after so many milliseconds; gives what cancels it. */
export function durableTimeout(callback, delay) {
    // What calls back may go on with promises.
    scheduler.promised = true;
    const { orchestration } = host();
    const due = new Date(Date.parse(orchestration.currentTime()) + Math.max(0, delay));
    const timer = new AtomicTask(orchestration.createTimer(due.toISOString()), "timer");
    const listener = () => callback();
    timer.subscribe(listener);
    return () => {
        if (!timer.isCompleted && !timer.isCanceled) {
            timer.unsubscribe(listener);
            timer.cancel();
        }
    };
}

/** `setTimeout`, `setInterval` and what clears them; `timers`: `{set, clear}` of functions other than orchestrators. */
export function makeTimers(timers) {
    let last = 0;
    const started = new Map();
    const start = (repeat) => (callback, delay = 0, ...args) => {
        last += 1;
        const id = last;
        const fire = () => {
            if (!repeat) {
                started.delete(id);
            }
            callback(...args);
            if (repeat && started.has(id)) {
                arm();
            }
        };
        const arm = () => {
            const durable = currentRole() === "orchestrator";
            const handle = durable ? durableTimeout(fire, Number(delay) || 0) : timers.set(fire, Number(delay) || 0);
            started.set(id, () => (durable ? handle() : timers.clear(handle)));
        };
        arm();
        return id;
    };
    const stop = (id) => {
        started.get(id)?.();
        started.delete(id);
    };
    return { setTimeout: start(false), setInterval: start(true), clearTimeout: stop, clearInterval: stop };
}
