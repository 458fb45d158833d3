// What both engines get: a console that logs, random numbers of the host, durable `setTimeout` in orchestrators.

import { currentRole } from "../host.js";
import { makeConsole } from "../log.js";
import { makeTimers } from "../timers.js";

/** Random numbers drawn at once. */
const DRAWN = 32;

/** Installs the globals. `fill(words)` fills a Uint32Array; `timers`: `{set, clear}` of functions other than orchestrators. */
export function installGlobals({ fill, timers }) {
    globalThis.console = makeConsole();
    installRandom(fill);
    Object.assign(globalThis, makeTimers(timers));
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
