// In tests in Node.js: for orchestrators the clock, chance, timers and console are those of the simulation, as the host's
// are in a component. For all other code they are what they were.

import { currentRole, host } from "./host.js";
import { line } from "./log.js";
import { makeTimers } from "./timers.js";

const LEVELS = { log: "info", info: "info", debug: "debug", trace: "trace", warn: "warn", error: "error" };

let users = 0;
let restore = () => {};

/** What the running orchestrator is simulated by, if one runs. */
function simulated() {
    return currentRole() === "orchestrator" ? host().simulated : undefined;
}

/** Replaces the globals, for as long as there is a user; gives what ends the use. */
export function virtualise() {
    users += 1;
    if (users === 1) {
        restore = replace();
    }
    return () => {
        users -= 1;
        if (users === 0) {
            restore();
        }
    };
}

function replace() {
    const undo = [date(), chance(), timers(), logging()];
    return () => undo.forEach((each) => each());
}

/** Sets properties; gives what brings those before back. */
function set(target, values) {
    const before = Object.keys(values).map((name) => [name, Object.getOwnPropertyDescriptor(target, name)]);
    for (const [name, value] of Object.entries(values)) {
        Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true });
    }
    return () => {
        for (const [name, descriptor] of before) {
            if (descriptor) {
                Object.defineProperty(target, name, descriptor);
            } else {
                delete target[name];
            }
        }
    };
}

function date() {
    const own = globalThis.Date;
    const now = () => simulated()?.now() ?? own.now();
    // A proxy: dates keep their prototype, and stay equal to those made elsewhere.
    const Date = new Proxy(own, {
        construct: (target, args, made) => Reflect.construct(target, args.length === 0 && simulated() ? [now()] : args, made),
        apply: (target) => (simulated() ? new target(now()).toString() : target()),
        get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
    });
    return set(globalThis, { Date });
}

function chance() {
    const own = Math.random;
    const random = () => (simulated() ? simulated().random() : own());
    const undo = set(Math, { random });
    const { crypto } = globalThis;
    if (crypto === undefined) {
        return undo;
    }
    const [values, uuid] = [crypto.getRandomValues.bind(crypto), crypto.randomUUID.bind(crypto)];
    const getRandomValues = (array) => {
        if (!simulated()) {
            return values(array);
        }
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        bytes.forEach((_, index) => (bytes[index] = Math.floor(random() * 256)));
        return array;
    };
    const randomUUID = (options) => {
        if (!simulated()) {
            return uuid(options);
        }
        const [a, b, c] = Array.from({ length: 3 }, () => Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0"));
        return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-8${c.slice(1, 4)}-${c.slice(4)}${a}`;
    };
    const undoCrypto = set(crypto, { getRandomValues, randomUUID });
    return () => [undoCrypto, undo].forEach((each) => each());
}

function timers() {
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    const durable = makeTimers({ set: setTimeout, clear: clearTimeout });
    const choose = (name, own) => (...args) => (simulated() ? durable[name](...args) : own(...args));
    const chosen = { setTimeout, setInterval, clearTimeout, clearInterval };
    return set(globalThis, Object.fromEntries(Object.entries(chosen).map(([name, own]) => [name, choose(name, own)])));
}

/** What an orchestrator writes is in the log, and seen once: not again when it is replayed. */
function logging() {
    const writers = Object.entries(LEVELS).map(([name, level]) => {
        const own = console[name].bind(console);
        const write = (...args) => {
            const running = simulated();
            if (running) {
                host().orchestration.log(level, line(args));
            }
            if (!running?.isReplay) {
                own(...args);
            }
        };
        return [name, write];
    });
    return set(console, Object.fromEntries(writers));
}
