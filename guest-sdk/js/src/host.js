// What the SDK asks of its surroundings: the host's interfaces in a component, a simulation in tests.

/**
 * The interfaces of `durable:functions` as objects with camelCase methods, next to what differs between engines.
 *
 * `orchestration`, `activityContext`, `functionContext`, `client`: the WIT interfaces. `drain()` gives a promise that
 * is resolved once no other promise can go on by itself. `answersAtOnce`: no method gives a promise.
 */
let current = null;

/** Installs the surroundings; gives what brings those before back. */
export function install(host) {
    const [before, roleBefore] = [current, role];
    current = host;
    return () => {
        current = before;
        role = roleBefore;
    };
}

/** The surroundings; an error while the module is being loaded, when there are none. */
export function host() {
    if (current === null) {
        throw new Error("this needs a running function: code at the top level of a module runs when the app is built");
    }
    return current;
}

/** The role of the call that is running: "orchestrator", "activity", "function", or null while the app is being built. */
let role = null;

/** Says in which role the code runs from now on. */
export function enter(newRole) {
    role = newRole;
}

/** In which role the code runs. */
export function currentRole() {
    return role;
}

/** Writes a line to the log of whoever is running; nowhere while the app is being built. */
export function writeLog(level, message) {
    if (current === null || role === null) {
        return;
    }
    const target = { orchestrator: "orchestration", activity: "activityContext", function: "functionContext" }[role];
    current[target].log(level, message);
}

/** What an import that failed was refused with, whichever way the engine throws it. */
export function payloadOf(thrown) {
    const wrapped = thrown !== null && typeof thrown === "object" && "payload" in thrown;
    return wrapped ? thrown.payload : thrown;
}
