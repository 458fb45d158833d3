// `setTimeout` in orchestrators: a durable timer.

import { host } from "./host.js";
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
