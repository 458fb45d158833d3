// Tasks: handles of what completes later. A task can be yielded in a generator and awaited in an async function.

import { host, payloadOf } from "./host.js";
import { decode } from "./json.js";
import { TaskFailedError } from "./errors.js";
import { scheduler } from "./scheduler.js";

/** What every task has. Completion is seen when the orchestrator waits for it, not before. */
export class Task {
    isCompleted = false;
    isFaulted = false;
    result = undefined;
    #listeners = new Set();

    /** Calls back once the task has completed, at once if it has. */
    subscribe(listener) {
        if (this.isCompleted) {
            listener(this);
            return;
        }
        this.#listeners.add(listener);
        if (this.#listeners.size === 1) {
            this.wanted();
        }
    }

    /** Takes a subscription back. */
    unsubscribe(listener) {
        if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
            this.unwanted();
        }
    }

    /** The first subscriber came. */
    wanted() {}

    /** The last subscriber left. */
    unwanted() {}

    settle(isFaulted, result) {
        this.isCompleted = true;
        this.isFaulted = isFaulted;
        this.result = result;
        const listeners = [...this.#listeners];
        this.#listeners.clear();
        for (const listener of listeners) {
            listener(this);
        }
    }

    then(onFulfilled, onRejected) {
        scheduler.promised = true;
        const settled = new Promise((resolve, reject) => {
            this.subscribe(() => (this.isFaulted ? reject(this.result) : resolve(this.result)));
        });
        return settled.then(onFulfilled, onRejected);
    }

    catch(onRejected) {
        return this.then(undefined, onRejected);
    }

    finally(onFinally) {
        return this.then().finally(onFinally);
    }
}

/** A task of the host. */
export class AtomicTask extends Task {
    constructor(id, name) {
        super();
        this.id = id;
        this.name = name;
        this.isCanceled = false;
    }

    wanted() {
        if (!this.isCanceled) {
            scheduler.add(this);
        }
    }

    unwanted() {
        scheduler.remove(this);
    }

    /** Gives the task up: it never completes. What it stands for is told, if it can be. */
    cancel() {
        if (this.isCompleted) {
            throw new Error("a task that has completed cannot be canceled");
        }
        host().orchestration.cancel(this.id);
        this.isCanceled = true;
        scheduler.remove(this);
    }

    /** Takes the outcome, which the host has delivered. */
    take() {
        let value;
        try {
            value = decode(host().orchestration.getResult(this.id));
        } catch (error) {
            const failure = payloadOf(error);
            if (failure === null || typeof failure !== "object" || typeof failure.errorType !== "string") {
                throw error;
            }
            this.settle(true, new TaskFailedError(failure, this));
            return;
        }
        this.settle(false, value);
    }
}

function checkTasks(tasks, method) {
    const list = Array.isArray(tasks) ? tasks : undefined;
    if (!list || list.length === 0 || !list.every((task) => task instanceof Task)) {
        throw new TypeError(`Task.${method} takes an array of at least one task`);
    }
    return list;
}

/** Completes when all its parts have, or one has failed. */
export class AllTask extends Task {
    constructor(parts) {
        super();
        this.parts = checkTasks(parts, "all");
        this.open = 0;
        this.listener = (part) => this.#ended(part);
    }

    wanted() {
        this.open = this.parts.length;
        if (this.parts.every((part) => part instanceof AtomicTask && !part.isCompleted && !part.isCanceled)) {
            scheduler.together(this);
        }
        for (const part of this.parts) {
            if (this.isCompleted) {
                return;
            }
            part.subscribe(this.listener);
        }
    }

    unwanted() {
        this.#leave();
    }

    #leave() {
        scheduler.apart(this);
        this.parts.forEach((part) => part.unsubscribe(this.listener));
    }

    #ended(part) {
        if (this.isCompleted) {
            return;
        }
        this.open -= 1;
        if (part.isFaulted) {
            this.#leave();
            this.settle(true, part.result);
        } else if (this.open <= 0 && this.parts.every((each) => each.isCompleted)) {
            scheduler.apart(this);
            this.settle(false, this.parts.map((each) => each.result));
        }
    }
}

/** Completes with the first of its parts that has; its result is that part. */
export class AnyTask extends Task {
    constructor(parts) {
        super();
        this.parts = checkTasks(parts, "any");
        this.listener = (part) => this.#ended(part);
    }

    wanted() {
        for (const part of this.parts) {
            if (this.isCompleted) {
                return;
            }
            part.subscribe(this.listener);
        }
    }

    unwanted() {
        this.parts.forEach((part) => part.unsubscribe(this.listener));
    }

    #ended(part) {
        if (!this.isCompleted) {
            this.unwanted();
            this.settle(false, part);
        }
    }
}
