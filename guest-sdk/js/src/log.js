// Logging: the functions of contexts, and `console`.

import { mapped } from "./errors.js";
import { writeLog } from "./host.js";

/** A line from the arguments of a logging call. */
export function line(args) {
    const [first, ...rest] = args;
    if (typeof first !== "string" || !/%[sdifjoOc%]/.test(first)) {
        return args.map(text).join(" ");
    }
    const values = [...rest];
    const formatted = first.replace(/%([sdifjoOc%])/g, (whole, kind) => {
        if (kind === "%") {
            return "%";
        }
        if (values.length === 0) {
            return whole;
        }
        const value = values.shift();
        if (kind === "d" || kind === "f") {
            return String(Number(value));
        }
        if (kind === "i") {
            return String(Math.trunc(Number(value)));
        }
        return kind === "c" ? "" : text(value);
    });
    return [formatted, ...values.map(text)].join(" ");
}

function text(value) {
    if (typeof value === "string") {
        return value;
    }
    if (value instanceof Error) {
        return `${value.name}: ${value.message}${value.stack ? `\n${mapped(value.stack).trimEnd()}` : ""}`;
    }
    if (value === null || typeof value !== "object") {
        return String(value);
    }
    try {
        return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part)) ?? String(value);
    } catch {
        return String(value);
    }
}

/** `log`, `trace`, `debug`, `info`, `warn`, `error`, and the older `log.verbose` and its like. */
export function logger() {
    const at = (level) => (...args) => writeLog(level, line(args));
    const levels = { trace: at("trace"), debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    const log = Object.assign(at("info"), { ...levels, verbose: levels.debug });
    return { log, ...levels };
}

const counts = new Map();

/** A `console` that writes to the log of the function that runs. */
export function makeConsole() {
    const { log, trace, debug, info, warn, error } = logger();
    const assert = (condition, ...args) => {
        if (!condition) {
            error("Assertion failed", ...args);
        }
    };
    const count = (label = "default") => {
        counts.set(label, (counts.get(label) ?? 0) + 1);
        info(`${label}: ${counts.get(label)}`);
    };
    const dir = (value) => log(value);
    const quiet = () => {};
    return {
        log, trace, debug, info, warn, error, assert, count, dir, table: dir, dirxml: dir, group: log, groupCollapsed: log,
        groupEnd: quiet, time: quiet, timeEnd: quiet, timeLog: quiet, countReset: (label = "default") => void counts.delete(label),
    };
}
