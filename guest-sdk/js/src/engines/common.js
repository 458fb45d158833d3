// What both engines get: a console that logs, random numbers of the host, durable `setTimeout` in orchestrators.

import { currentRole } from "../host.js";
import { makeConsole } from "../log.js";
import { durableTimeout } from "../timers.js";

/** Random numbers drawn at once. */
const DRAWN = 32;

/** Installs the globals. `fill(words)` fills a Uint32Array; `timers`: `{set, clear}` of functions other than orchestrators. */
export function installGlobals({ fill, timers }) {
    globalThis.console = makeConsole();
    installRandom(fill);
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
    Object.assign(globalThis, { setTimeout: start(false), setInterval: start(true), clearTimeout: stop, clearInterval: stop });
}

/** `Math.random` of an engine is seeded when the app is built, the same for every instance; this one is the host's. */
function installRandom(fill) {
    const atBuild = Math.random.bind(Math);
    const words = new Uint32Array(2 * DRAWN);
    let used = words.length;
    Math.random = () => {
        if (currentRole() === null) {
            return atBuild();
        }
        if (used === words.length) {
            fill(words);
            used = 0;
        }
        const [high, low] = [words[used] >>> 5, words[used + 1] >>> 6];
        used += 2;
        return (high * 67108864 + low) / 9007199254740992;
    };
}
