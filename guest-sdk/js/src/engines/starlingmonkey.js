// StarlingMonkey: has an event loop, timers, crypto and most of what browsers have.

import { installGlobals } from "./common.js";

const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];

installGlobals({ fill: (words) => crypto.getRandomValues(words), timers: { set: (callback, delay) => set(callback, delay), clear: (id) => clear(id) } });

/** A turn of the event loop: by then every promise has gone as far as it can. */
export const drain = () => new Promise((resolve) => set(resolve, 0));

/** Runs a call; the engine waits for the promise. */
export const run = (start) => start();
