// Promises with a queue of our own, for an engine whose queue cannot be run from inside a call.
//
// The build turns `async` functions into generators that use `Promise`, so that every promise of an app is one of these.

const queue = [];
/** Called back when nothing else is left to do. */
const idle = [];

function enqueue(job) {
    queue.push(job);
}

/** Runs all jobs, and those they make. False: there were none. */
export function flush() {
    const any = queue.length > 0;
    for (let at = 0; at < queue.length; at += 1) {
        const job = queue[at];
        queue[at] = undefined;
        job();
    }
    queue.length = 0;
    return any;
}

/** Resolved when every other promise has gone as far as it can. */
export function whenIdle() {
    return new QueuedPromise((resolve) => idle.push(resolve));
}

/** Tells the next who waits for idleness. False: nobody does. */
export function tellIdle() {
    const resolve = idle.shift();
    resolve?.();
    return resolve !== undefined;
}

const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

export class QueuedPromise {
    #state = "pending";
    #value = undefined;
    #reactions = [];

    constructor(executor) {
        if (typeof executor !== "function") {
            throw new TypeError("a Promise needs a function");
        }
        const [resolve, reject] = this.#pair();
        try {
            executor(resolve, reject);
        } catch (error) {
            reject(error);
        }
    }

    get [Symbol.toStringTag]() {
        return "Promise";
    }

    /** Functions of which the first that is called counts. */
    #pair() {
        let decided = false;
        const once = (act) => (value) => {
            if (!decided) {
                decided = true;
                act(value);
            }
        };
        return [once((value) => this.#resolve(value)), once((reason) => this.#settle("rejected", reason))];
    }

    #resolve(value) {
        if (value === this) {
            this.#settle("rejected", new TypeError("a promise cannot be resolved with itself"));
            return;
        }
        if (!isObject(value)) {
            this.#settle("fulfilled", value);
            return;
        }
        let then;
        try {
            then = value.then;
        } catch (error) {
            this.#settle("rejected", error);
            return;
        }
        if (typeof then !== "function") {
            this.#settle("fulfilled", value);
            return;
        }
        enqueue(() => {
            const [resolve, reject] = this.#pair();
            try {
                then.call(value, resolve, reject);
            } catch (error) {
                reject(error);
            }
        });
    }

    #settle(state, value) {
        this.#state = state;
        this.#value = value;
        const reactions = this.#reactions;
        this.#reactions = [];
        reactions.forEach((react) => enqueue(react));
    }

    then(onFulfilled, onRejected) {
        return new QueuedPromise((resolve, reject) => {
            const react = () => {
                const fulfilled = this.#state === "fulfilled";
                const handler = fulfilled ? onFulfilled : onRejected;
                if (typeof handler !== "function") {
                    (fulfilled ? resolve : reject)(this.#value);
                    return;
                }
                try {
                    resolve(handler(this.#value));
                } catch (error) {
                    reject(error);
                }
            };
            if (this.#state === "pending") {
                this.#reactions.push(react);
            } else {
                enqueue(react);
            }
        });
    }

    catch(onRejected) {
        return this.then(undefined, onRejected);
    }

    finally(onFinally) {
        if (typeof onFinally !== "function") {
            return this.then(onFinally, onFinally);
        }
        return this.then(
            (value) => QueuedPromise.resolve(onFinally()).then(() => value),
            (reason) => QueuedPromise.resolve(onFinally()).then(() => QueuedPromise.reject(reason)),
        );
    }

    static resolve(value) {
        return value instanceof QueuedPromise ? value : new QueuedPromise((resolve) => resolve(value));
    }

    static reject(reason) {
        return new QueuedPromise((_, reject) => reject(reason));
    }

    static withResolvers() {
        const parts = {};
        parts.promise = new QueuedPromise((resolve, reject) => Object.assign(parts, { resolve, reject }));
        return parts;
    }

    static try(work, ...args) {
        return new QueuedPromise((resolve) => resolve(work(...args)));
    }

    static all(values) {
        return collect(values, (each, place, { fulfil, reject }) => each.then((value) => fulfil(place, value), reject));
    }

    static allSettled(values) {
        return collect(values, (each, place, { fulfil }) =>
            each.then(
                (value) => fulfil(place, { status: "fulfilled", value }),
                (reason) => fulfil(place, { status: "rejected", reason }),
            ),
        );
    }

    static any(values) {
        const failed = collect(values, (each, place, { fulfil, reject }) => each.then((value) => reject({ value }), (reason) => fulfil(place, reason)));
        return failed.then(
            (errors) => {
                throw new AggregateError(errors, "all promises were rejected");
            },
            ({ value }) => value,
        );
    }

    static race(values) {
        return new QueuedPromise((resolve, reject) => {
            for (const value of values) {
                QueuedPromise.resolve(value).then(resolve, reject);
            }
        });
    }
}

/** Waits for several; `follow` says what the end of each means. */
function collect(values, follow) {
    return new QueuedPromise((resolve, reject) => {
        const all = [...values];
        const results = new Array(all.length);
        let open = all.length;
        if (open === 0) {
            resolve(results);
        }
        const fulfil = (place, value) => {
            results[place] = value;
            open -= 1;
            if (open === 0) {
                resolve(results);
            }
        };
        all.forEach((value, place) => follow(QueuedPromise.resolve(value), place, { fulfil, reject }));
    });
}
