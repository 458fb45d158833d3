// The functions of the app, as its modules register them.

/** `{name, kind, config, handler, client}` each. `client`: whether it declared the durable client. */
const functions = [];

/** Takes a function in. */
export function register(entry) {
    const { name, kind, handler } = entry;
    if (typeof name !== "string" || name === "") {
        throw new TypeError(`a function of kind ${kind} has no name`);
    }
    if (typeof handler !== "function") {
        throw new TypeError(`the function '${name}' has no handler`);
    }
    if (functions.some((other) => other.kind === kind && other.name === name)) {
        throw new Error(`two functions (${kind}) are called '${name}': give one of them another name`);
    }
    functions.push(entry);
}

/** All functions. */
export function all() {
    return functions;
}

/** The function of one of these kinds with this name. */
export function find(kinds, name) {
    const found = functions.find((entry) => kinds.includes(entry.kind) && entry.name === name);
    if (!found) {
        throw Object.assign(new Error(`this version of the app has no function '${name}'`), { name: "FunctionNotFound", nonRetriable: true });
    }
    return found;
}
