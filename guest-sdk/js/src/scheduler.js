// What an orchestrator waits for. A component instance runs one orchestrator, so there is one of these.

import { host } from "./host.js";

/** Up to this many tasks of a `Task.all` are waited for one by one, so that the first failure is seen at once. */
const ONE_BY_ONE = 1000;

class Scheduler {
    /** Tasks of the host that somebody waits for, by their ids. */
    #waiting = new Map();
    /** Large `Task.all`s that somebody waits for. */
    #groups = new Set();

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
        return () => {
            this.#waiting = waiting;
            this.#groups = groups;
        };
    }

    /** Waits for the next completion and delivers it; false: nobody waits for anything that could complete. */
    async step() {
        if (this.#waiting.size === 0) {
            return false;
        }
        const { orchestration } = host();
        const ids = [...this.#waiting.keys()];
        const [group] = this.#groups;
        // One call of the host for thousands of tasks, if nothing else is waited for.
        if (group && new Set(group.parts).size === ids.length) {
            await orchestration.whenAll(ids);
            ids.map((id) => this.#waiting.get(id)).forEach((task) => this.#deliver(task));
        } else {
            this.#deliver(this.#waiting.get(await orchestration.whenAny(ids)));
        }
        return true;
    }

    #deliver(task) {
        if (task && !task.isCompleted) {
            this.#waiting.delete(task.id);
            task.take();
        }
    }
}

export const scheduler = new Scheduler();
