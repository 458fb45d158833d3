// `setTimeout` in orchestrators: a durable timer.

import { host } from "./host.js";
import { AtomicTask } from "./task.js";

/** Calls back after so many milliseconds; gives what cancels it. */
export function durableTimeout(callback, delay) {
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
