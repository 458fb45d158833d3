// Errors: what functions fail with, and what failed calls throw.

/** Longest chain of causes that is passed on. */
const CAUSES = 32;

let propertiesOf = null;

/** What a failed activity or sub-orchestration failed with. */
export class FailureDetails {
    constructor(failure, causes = failure.causes ?? []) {
        this.errorType = failure.errorType;
        this.errorMessage = failure.message;
        this.stackTrace = failure.stackTrace ?? undefined;
        this.isNonRetriable = failure.nonRetriable === true;
        this.properties = failure.properties ? JSON.parse(failure.properties) : undefined;
        this.innerFailure = causes.length > 0 ? new FailureDetails(causes[0], causes.slice(1)) : undefined;
    }

    /** True: this failure, or one that it was caused by, is of this type. */
    isCausedBy(errorType) {
        return this.errorType === errorType || this.innerFailure?.isCausedBy(errorType) === true;
    }
}

/** Thrown into an orchestrator when what it waits for has failed. */
export class TaskFailedError extends Error {
    constructor(failure, task = {}) {
        super(failure.message);
        this.name = "TaskFailedError";
        this.failureDetails = new FailureDetails(failure);
        this.taskName = task.name;
        this.taskId = task.id;
        // As it came: an orchestrator that does not catch it fails by the very same failure.
        Object.defineProperty(this, "failure", { value: failure });
    }
}

/** Misuse of the SDK. */
export class DurableError extends Error {
    constructor(message) {
        super(message);
        this.name = "DurableError";
    }
}

/** An error that no retry policy tries again. */
export class NonRetriableError extends Error {
    constructor(message, options) {
        super(message, options);
        this.name = "NonRetriableError";
        this.nonRetriable = true;
    }
}

/** What the client functions throw when the host refuses. `code` is the contract's word for the reason. */
export class ClientError extends Error {
    constructor(code, message, status) {
        super(message);
        this.name = "ClientError";
        this.code = code;
        this.status = status;
    }
}

/** Adds facts to failures: `provider.getExceptionProperties(error)` gives an object or nothing. */
export function setExceptionPropertiesProvider(provider) {
    propertiesOf = provider ? (error) => provider.getExceptionProperties(error) : null;
}

/** What the host is told of something that was thrown. */
export function toFailure(thrown) {
    if (thrown instanceof TaskFailedError) {
        return { ...thrown.failure, causes: [...(thrown.failure.causes ?? [])] };
    }
    return {
        ...link(thrown),
        nonRetriable: isObject(thrown) && thrown.nonRetriable === true,
        causes: causesOf(thrown),
        properties: properties(thrown),
    };
}

function isObject(value) {
    return value !== null && typeof value === "object";
}

function typeOf(error) {
    const given = [error, Object.getPrototypeOf(error)].some((holder) => Object.hasOwn(holder ?? {}, "name"));
    // `class Mine extends Error` inherits a name; its own says more.
    return String((given ? undefined : error.constructor?.name) || error.name || "Error");
}

function link(thrown) {
    if (thrown instanceof TaskFailedError) {
        const { errorType, message, stackTrace } = thrown.failure;
        return { errorType, message, stackTrace: stackTrace ?? null };
    }
    if (thrown instanceof Error) {
        const stack = typeof thrown.stack === "string" && thrown.stack !== "" ? mapped(thrown.stack) : null;
        return { errorType: typeOf(thrown), message: String(thrown.message), stackTrace: stack };
    }
    let text = null;
    try {
        text = typeof thrown === "string" ? thrown : JSON.stringify(thrown);
    } catch {
        // What cannot be written as JSON still has a name for itself.
    }
    return { errorType: typeof thrown, message: text ?? String(thrown), stackTrace: null };
}

function causesOf(thrown) {
    const causes = [];
    const seen = new Set([thrown]);
    const next = (error) => (error instanceof Error ? [error.cause, ...(Array.isArray(error.errors) ? error.errors : [])] : []);
    const open = next(thrown);
    while (open.length > 0 && causes.length < CAUSES) {
        const cause = open.shift();
        if (cause === undefined || cause === null || seen.has(cause)) {
            continue;
        }
        seen.add(cause);
        causes.push(link(cause));
        if (cause instanceof TaskFailedError) {
            causes.push(...(cause.failure.causes ?? []).slice(0, CAUSES - causes.length));
        }
        open.unshift(...next(cause));
    }
    return causes;
}

function properties(thrown) {
    const given = propertiesOf ? propertiesOf(thrown) : isObject(thrown) ? thrown.properties : undefined;
    if (!isObject(given) || Array.isArray(given)) {
        return null;
    }
    try {
        return JSON.stringify(given);
    } catch {
        return null;
    }
}

/** The stack with the author's files and lines in place of the bundle's. */
export function mapped(stack) {
    // Appended to the bundle by the build: `sources`, and for each line `[index of the source, line]` or nothing.
    const lines = globalThis.__durawasm_lines;
    if (lines === undefined) {
        return stack;
    }
    return stack.replace(/[^\s(@]*\bapp\.js:(\d+)(:\d+)?/g, (whole, line) => {
        const place = lines.table[Number(line) - 1];
        return place ? `${lines.sources[place[0]]}:${place[1]}` : whole;
    });
}
