// What an orchestrator waits for. A component instance runs one orchestrator, so there is one of these.

import { host } from "./host.js";

/** Up to this many tasks of a `Task.all` are waited for one by one, so that the first failure is seen at once. */
const ONE_BY_ONE = 1000;

class Scheduler {
    /** Tasks of the host that somebody waits for, by their ids. */
    #waiting = new Map();
    /** Large `Task.all`s that somebody waits for. */
    #groups = new Set();
    /** Promises wait for tasks, too: they must go on whenever one has completed. */
    promised = false;

    add(task) {
        this.#waiting.set(task.id, task);
    }

    remove(task) {
        this.#waiting.delete(task.id);
    }

    together(group) {
        if (group.parts.length > ONE_BY_ONE) {
            this.#groups.add(group);
        }
    }

    apart(group) {
        this.#groups.delete(group);
    }

    /** Begins anew; gives what takes up again where this one was. */
    reset() {
        const [waiting, groups] = [this.#waiting, this.#groups];
        this.#waiting = new Map();
        this.#groups = new Set();
        this.promised = false;
        return () => {
            this.#waiting = waiting;
            this.#groups = groups;
        };
    }

    /** Waits for the next completion and delivers it; false: nobody waits for anything that could complete. */
    async step() {
        const ids = [...this.#waiting.keys()];
        if (ids.length === 0) {
            return false;
        }
        const { orchestration } = host();
        if (this.#isOneGroup(ids)) {
            await orchestration.whenAll(ids);
            this.#deliverAll(ids);
        } else {
            this.#deliver(this.#waiting.get(await orchestration.whenAny(ids)));
        }
        return true;
    }

    /** The same without a promise, on a host that answers at once. */
    stepNow() {
        const ids = [...this.#waiting.keys()];
        if (ids.length === 0) {
            return false;
        }
        const { orchestration } = host();
        if (this.#isOneGroup(ids)) {
            orchestration.whenAll(ids);
            this.#deliverAll(ids);
        } else {
            this.#deliver(this.#waiting.get(orchestration.whenAny(ids)));
        }
        return true;
    }

    /** Whether all that is waited for is one large `Task.all`: then one call of the host does for thousands of tasks. */
    #isOneGroup(ids) {
        const [group] = this.#groups;
        return group !== undefined && new Set(group.parts).size === ids.length;
    }

    #deliverAll(ids) {
        ids.map((id) => this.#waiting.get(id)).forEach((task) => this.#deliver(task));
    }

    #deliver(task) {
        if (task && !task.isCompleted) {
            this.#waiting.delete(task.id);
            task.take();
        }
    }
}

export const scheduler = new Scheduler();
