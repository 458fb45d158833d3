// QuickJS: a small engine without event loop, timers, crypto and TextEncoder. They are supplied here.

import * as monotonicClock from "wasi:clocks/monotonic-clock@0.2.12";
import * as wasiRandom from "wasi:random/random@0.2.12";
import { DurableError } from "../errors.js";
import { TextDecoder, TextEncoder } from "../text.js";
import { installGlobals } from "./common.js";
import { QueuedPromise, flush, tellIdle, whenIdle } from "./promise.js";

/** The host gives at most so many random bytes in one call. */
const RANDOM_BYTES = 65_536;

globalThis.Promise = QueuedPromise;
globalThis.queueMicrotask = (job) => void QueuedPromise.resolve().then(job);
Object.assign(globalThis, { TextDecoder, TextEncoder });

function fillBytes(bytes) {
    for (let at = 0; at < bytes.length; at += RANDOM_BYTES) {
        const length = Math.min(RANDOM_BYTES, bytes.length - at);
        bytes.set(wasiRandom.getRandomBytes(length), at);
    }
}

function getRandomValues(array) {
    fillBytes(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array;
}

function randomUUID() {
    const bytes = getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

globalThis.crypto = { getRandomValues, randomUUID };

/** Timers of functions other than orchestrators, and when they are due. */
const pending = new Map();
let lastTimer = 0;

const timers = {
    set(callback, delay) {
        lastTimer += 1;
        pending.set(lastTimer, { callback, due: Date.now() + Math.max(0, delay) });
        return lastTimer;
    },
    clear: (id) => void pending.delete(id),
};

installGlobals({ fill: getRandomValues, timers });

/** Sleeps until the next timer is due and runs it. False: there is none. */
function fireNext() {
    let next = null;
    for (const [id, timer] of pending) {
        if (next === null || timer.due < next.timer.due) {
            next = { id, timer };
        }
    }
    if (next === null) {
        return false;
    }
    const wait = next.timer.due - Date.now();
    if (wait > 0) {
        monotonicClock.subscribeDuration(Math.ceil(wait * 1_000_000)).block();
    }
    pending.delete(next.id);
    next.timer.callback();
    return true;
}

/** Resolved when every other promise has gone as far as it can. */
export const drain = whenIdle;

/** Runs a call to its end: the queue of promises, then the timers. */
export function run(start) {
    let outcome = null;
    start().then(
        (value) => (outcome = { value }),
        (error) => (outcome = { error }),
    );
    for (;;) {
        flush();
        if (outcome !== null) {
            break;
        }
        if (!tellIdle() && !fireNext()) {
            throw new DurableError("the function waits for something that nothing will complete");
        }
    }
    if ("error" in outcome) {
        throw outcome.error;
    }
    return outcome.value;
}
