"use strict";
// The JavaScript SDK's client against a real server.
//
// Reads the client binding (JSON) from standard input, calls every method of `DurableClient` against instances in every
// state, and prints one JSON line for each check: {"check": name, "failed": null or what was seen}. The last line is
// {"methods": all public methods, "called": those that were called}. The server has the app of `tests/guests/flow`.
// Without `rpcBaseUrl` in the binding the client uses the public URLs with the code in them.

const assert = require("node:assert");
const fs = require("node:fs");
const { HttpRequest } = require("@azure/functions");
const df = require("durable-functions");

const binding = JSON.parse(fs.readFileSync(0, "utf8"));
const methodsCalled = new Set();
const client = recorded(clientOf(binding));
const PREFIX = binding.rpcBaseUrl ? "js-rpc-" : "js-public-";
const REWIND_REFUSED = 'Only orchestrations in the "Failed" state can be rewound.';
const CITIES = ["Tokyo", "Seattle", "London"];
// The states an instance can be in, and those in which it has ended.
const STATES = ["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"];
const ENDED = ["Completed", "Failed", "Terminated"];
const HOUR = 3600 * 1000;

/** The client as a function gets it. */
function clientOf(binding) {
    const input = df.input.durableClient();
    return df.getClient({ options: { extraInputs: [input] }, extraInputs: new Map([[input, binding]]) });
}

/** Passes every call on to the client and notes which methods were called. */
function recorded(client) {
    return new Proxy(client, {
        get(target, name) {
            const value = target[name];
            if (typeof value !== "function") return value;
            methodsCalled.add(name);
            return value.bind(target);
        },
    });
}

let made = 0;

function newId(label) {
    made += 1;
    return `${PREFIX}${label}-${made}`;
}

/** Waits for a state; gives the status. */
async function until(instanceId, wanted) {
    let status;
    for (let round = 0; round < 3000; round++) {
        status = await client.getStatus(instanceId);
        if (status.runtimeStatus === wanted) return status;
        if (ENDED.includes(status.runtimeStatus)) break;
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`${instanceId} is not ${wanted}: ${status.runtimeStatus}`);
}

/** Starts an instance that is due far in the future: no method of the client can. */
async function schedule(instanceId) {
    let url = binding.creationUrls.createNewInstancePostUri;
    url = url.replace("{functionName}", "TwoWaiters").replace("[/{instanceId}]", `/${instanceId}`);
    url += (url.includes("?") ? "&" : "?") + "scheduledStartTime=2999-01-01T00:00:00Z";
    assert.equal((await fetch(url, { method: "POST" })).status, 202);
}

/** A new instance in a state. */
async function instance(state) {
    const instanceId = newId(state);
    if (state === "Missing") return instanceId;
    if (state === "Pending") {
        await schedule(instanceId);
        await until(instanceId, "Pending");
        return instanceId;
    }
    const name = { Completed: "Sequence", Failed: "Fails" }[state] ?? "TwoWaiters";
    assert.equal(await client.startNew(name, { instanceId, input: null }), instanceId);
    if (state === "Suspended") {
        await until(instanceId, "Running");
        await client.suspend(instanceId, "a break");
    }
    if (state === "Terminated") await client.terminate(instanceId, "enough of it");
    await until(instanceId, state);
    return instanceId;
}

async function inEveryState() {
    const ids = {};
    for (const state of STATES) ids[state] = await instance(state);
    return ids;
}

/** The call rejects with an error of the client's own whose message has the text. */
async function rejects(text, call) {
    let result;
    try {
        result = await call;
    } catch (error) {
        assert.ok(error.constructor === Error, `${error.constructor.name}: ${error.message}`);
        assert.ok(error.message.includes(text), `"${error.message}" instead of "${text}"`);
        return;
    }
    assert.fail(`${JSON.stringify(result)} instead of an error with "${text}"`);
}

const same = assert.deepStrictEqual;
const isNotFound = (instanceId) => rejects("replied with HTTP 404", client.getStatus(instanceId));
const statusOf = async (instanceId) => (await client.getStatus(instanceId)).runtimeStatus;

const checks = {
    // Starting

    async startsWithoutAnId() {
        const [first, second] = [await client.startNew("TwoWaiters"), await client.startNew("Sequence", { input: CITIES })];
        assert.match(first, /^[0-9a-f]{32}$/);
        assert.notEqual(first, second);
        const status = await until(second, "Completed");
        same([status.name, status.input, status.output], ["Sequence", CITIES, CITIES]);
        // The client sends an empty JSON string when no input is given.
        same((await until(first, "Running")).input, "");
    },

    async startsWithIdAndInput() {
        const instanceId = newId("mit Leerzeichen und Umläuten");
        same(await client.startNew("Event", { instanceId, input: "Go" }), instanceId);
        same((await until(instanceId, "Running")).input, "Go");
        await client.raiseEvent(instanceId, "Go", { ok: true });
        const status = await until(instanceId, "Completed");
        same([status.instanceId, status.output], [instanceId, { ok: true }]);
        const list = await client.startNew("Sequence", { input: [1, { two: null }, "drei"] });
        same((await until(list, "Completed")).output, [1, { two: null }, "drei"]);
    },

    async startsWithAVersion() {
        const instanceId = await client.startNew("Sequence", { input: [], version: "1.0 beta" });
        await until(instanceId, "Completed");
        const listed = (await client.getStatusAll()).find((status) => status.instanceId === instanceId);
        same(listed.version, "1.0 beta");
    },

    async refusesUnknownFunctionsAndBadIds() {
        await rejects("The function 'Nobody' doesn't exist", client.startNew("Nobody"));
        await rejects("256", client.startNew("Sequence", { instanceId: "x".repeat(257) }));
        await rejects("@", client.startNew("Sequence", { instanceId: "@counter@1" }));
    },

    async startsAnIdOnce() {
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            const again = client.startNew("Sequence", { instanceId, input: CITIES });
            if (ENDED.includes(state)) {
                same(await again, instanceId);
                await until(instanceId, "Completed");
            } else {
                const text = `An orchestration with instance ID '${instanceId}' and status '${state}' already exists`;
                await rejects(text, again);
                same((await client.getStatus(instanceId)).name, "TwoWaiters");
            }
        }
    },

    // Asking

    async showsEveryState() {
        const outputs = { Suspended: "a break", Completed: CITIES, Terminated: "enough of it" };
        const before = Date.now() - 2000;
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            const status = await client.getStatus(instanceId);
            same([status.instanceId, status.runtimeStatus], [instanceId, state]);
            const times = [before, status.createdTime.getTime(), status.lastUpdatedTime.getTime(), Date.now()];
            same(times.toSorted((a, b) => a - b), times);
            if (state === "Failed") assert.match(status.output, /^Orchestrator function 'Fails' failed: /);
            else same(status.output, outputs[state] ?? null);
            same([status.customStatus, status.input, status.history], [null, null, undefined]);
        }
        await isNotFound(await instance("Missing"));
    },

    async showsCustomStatus() {
        const instanceId = await client.startNew("Custom", { input: 0 });
        same((await until(instanceId, "Completed")).customStatus, "finished");
    },

    async showsInputOrNot() {
        const instanceId = await client.startNew("Sequence", { input: [1] });
        await until(instanceId, "Completed");
        same((await client.getStatus(instanceId, { showInput: true })).input, [1]);
        // Over `rpcBaseUrl` the client does not send a false flag, and the default is to show it.
        same((await client.getStatus(instanceId, { showInput: false })).input, binding.rpcBaseUrl ? [1] : null);
    },

    async showsHistory() {
        const instanceId = await client.startNew("Sequence", { input: ["one"] });
        await until(instanceId, "Completed");
        // The client's own status drops the history; its list gives the answer as it is.
        await client.getStatus(instanceId, { showHistory: true, showHistoryOutput: true });
        const answers = [];
        const spied = clientOf(binding);
        spied.axiosInstance.interceptors.response.use((answer) => (answers.push(answer.data), answer));
        await spied.getStatus(instanceId, { showHistory: true });
        await spied.getStatus(instanceId, { showHistory: true, showHistoryOutput: true });
        const [bare, whole] = answers.map((answer) => answer.historyEvents);
        same(bare.map((event) => event.EventType), ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]);
        same(bare.map((event) => event.Result), [undefined, undefined, undefined]);
        same(whole.map((event) => event.Result), [undefined, "one", ["one"]]);
        same(whole[1].Input, '"one"');
    },

    async listsAll() {
        const ids = Object.values(await inEveryState());
        // More than two pages of the public URLs, and pages that are compressed and sent in several pieces.
        const input = ["a longer text ".repeat(100)];
        for (let batch = 0; batch < 11; batch++) {
            const starts = Array.from({ length: 20 }, () => client.startNew("Sequence", { instanceId: newId("many"), input }));
            ids.push(...(await Promise.all(starts)));
        }
        const listed = new Map((await client.getStatusAll()).map((status) => [status.instanceId, status]));
        same(ids.filter((id) => !listed.has(id)), []);
        STATES.forEach((state, index) => same(listed.get(ids[index]).runtimeStatus, state));
        same((await client.getStatusBy({})).length, listed.size);
    },

    async listsByConditions() {
        const ids = await inEveryState();
        const found = async (filter) => (await client.getStatusBy(filter)).map((status) => status.instanceId);
        for (const state of STATES) {
            const listed = await client.getStatusBy({ runtimeStatus: [state] });
            assert.ok(listed.some((status) => status.instanceId === ids[state]), state);
            same([...new Set(listed.map((status) => status.runtimeStatus))], [state]);
        }
        const two = await found({ runtimeStatus: ["Failed", "Suspended"] });
        same([ids.Failed, ids.Suspended, ids.Running].map((id) => two.includes(id)), [true, true, false]);
        const [past, future] = [new Date(Date.now() - HOUR), new Date(Date.now() + HOUR)];
        assert.ok((await found({ createdTimeFrom: past, createdTimeTo: future })).includes(ids.Failed));
        same(await found({ createdTimeFrom: future }), []);
        same(await found({ createdTimeTo: past }), []);
        const hub = { taskHubName: binding.taskHubName, connectionName: "Storage" };
        assert.ok((await found(hub)).includes(ids.Running));
    },

    // Acting

    async raisesEvents() {
        const instanceId = await instance("Running");
        same(await client.raiseEvent(instanceId, "item"), undefined);
        await client.raiseEvent(instanceId, "Item", { n: [1, "zwölf"] });
        // The newest wait got the first event.
        same((await until(instanceId, "Completed")).output, [{ n: [1, "zwölf"] }, null]);
        for (const [state, id] of Object.entries(await inEveryState())) {
            // The client takes 410 for success.
            same(await client.raiseEvent(id, "Item", 1), undefined, state);
        }
        const missing = await instance("Missing");
        await rejects(`No instance with ID '${missing}' found.`, client.raiseEvent(missing, "Item", 1));
        const options = { taskHubName: binding.taskHubName, connectionName: "Storage" };
        await client.raiseEvent(await instance("Running"), "Item", 1, options);
    },

    async terminates() {
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            same(await client.terminate(instanceId, "because of it"), undefined);
            if (ENDED.includes(state)) same(await statusOf(instanceId), state);
            else same((await until(instanceId, "Terminated")).output, "because of it");
        }
        const missing = await instance("Missing");
        await rejects(`No instance with ID '${missing}' found.`, client.terminate(missing, "because"));
    },

    async suspendsAndResumes() {
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            same(await client.suspend(instanceId, "wait"), undefined);
            const output = state === "Suspended" ? "a break" : "wait";
            if (!ENDED.includes(state)) same((await until(instanceId, "Suspended")).output, output);
            same(await client.resume(instanceId, "go on"), undefined);
            if (["Running", "Suspended"].includes(state)) same((await until(instanceId, "Running")).output, null);
            if (ENDED.includes(state)) same(await statusOf(instanceId), state);
        }
        const missing = await instance("Missing");
        await rejects(`No instance with ID '${missing}' found.`, client.suspend(missing, "wait"));
        await rejects(`No instance with ID '${missing}' found.`, client.resume(missing, "go on"));
    },

    async holdsEventsWhileSuspended() {
        const instanceId = await instance("Suspended");
        await client.raiseEvent(instanceId, "Item", 1);
        await client.raiseEvent(instanceId, "Item", 2);
        same(await statusOf(instanceId), "Suspended");
        await client.resume(instanceId, "go on");
        same((await until(instanceId, "Completed")).output, [2, 1]);
    },

    async rewinds() {
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            const rewound = client.rewind(instanceId, "mended it");
            if (state === "Failed") {
                same(await rewound, undefined);
                // It fails of itself, so it fails again.
                await until(instanceId, "Failed");
            } else {
                await rejects(REWIND_REFUSED, rewound);
            }
        }
        const missing = await instance("Missing");
        await rejects(`No instance with ID '${missing}' found.`, client.rewind(missing, "mended"));
    },

    async purgesOne() {
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            if (ENDED.includes(state)) {
                same(await client.purgeInstanceHistory(instanceId), { instancesDeleted: 1 });
                await isNotFound(instanceId);
            } else {
                await rejects("unexpected status code: 409", client.purgeInstanceHistory(instanceId));
                same(await statusOf(instanceId), state);
            }
        }
        same((await client.purgeInstanceHistory(await instance("Missing"))).instancesDeleted, 0);
    },

    async purgesMany() {
        const ids = await inEveryState();
        const [past, future] = [new Date(Date.now() - HOUR), new Date(Date.now() + HOUR)];
        const purge = async (filter) => (await client.purgeInstanceHistoryBy(filter)).instancesDeleted;
        const left = async () => {
            const listed = (await client.getStatusAll()).map((status) => status.instanceId);
            return STATES.filter((state) => listed.includes(ids[state]));
        };
        same(await purge({ createdTimeFrom: future }), 0);
        same(await purge({ createdTimeFrom: past, createdTimeTo: new Date(Date.now() - HOUR / 2) }), 0);
        const filter = { createdTimeFrom: past, createdTimeTo: future, runtimeStatus: ["Failed", "Running"] };
        assert.ok((await purge(filter)) >= 1);
        same(await left(), STATES.filter((state) => state !== "Failed"));
        assert.ok((await purge({ createdTimeFrom: past })) >= 2);
        same(await left(), STATES.filter((state) => !ENDED.includes(state)));
        if (binding.rpcBaseUrl) await rejects("createdTimeFrom", client.purgeInstanceHistoryBy({}));
    },

    // Answers for HTTP functions

    async waitsForCompletion() {
        const request = new HttpRequest({ method: "POST", url: "http://front.example:8080/start" });
        const wait = (id, options) => client.waitForCompletionOrCreateCheckStatusResponse(request, id, options);
        const options = { timeoutInMilliseconds: 200, retryIntervalInMilliseconds: 50 };
        for (const [state, instanceId] of Object.entries(await inEveryState())) {
            const answer = await wait(instanceId, options);
            const body = await answer.json();
            if (state === "Completed") same([answer.status, body], [200, CITIES]);
            else if (state === "Terminated") same([answer.status, body.runtimeStatus], [200, "Terminated"]);
            else if (state === "Failed") same([answer.status, body.runtimeStatus], [500, "Failed"]);
            else same([answer.status, body.id], [202, instanceId]);
        }
        await rejects("replied with HTTP 404", wait(await instance("Missing"), options));
        // One that ends while it is waited for.
        const instanceId = await instance("Running");
        const slow = { timeoutInMilliseconds: 30000, retryIntervalInMilliseconds: 20 };
        const [answer] = await Promise.all([wait(instanceId, slow), client.terminate(instanceId, "now")]);
        same([answer.status, (await answer.json()).output], [200, "now"]);
        const reversed = { timeoutInMilliseconds: 50, retryIntervalInMilliseconds: 200 };
        await rejects("should be bigger", wait(instanceId, reversed));
    },

    async makesCheckStatusResponses() {
        const request = new HttpRequest({ method: "POST", url: "https://front.example/start" });
        const answer = client.createCheckStatusResponse(request, "abc");
        const links = await answer.json();
        same([answer.status, answer.headers.get("location")], [202, links.statusQueryGetUri]);
        const start = "https://front.example/runtime/webhooks/durabletask/instances/abc?";
        assert.ok(links.statusQueryGetUri.startsWith(start), links.statusQueryGetUri);
    },

    async linksWork() {
        const links = client.createHttpManagementPayload(await instance("Completed"));
        const names = ["statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "rewindPostUri"];
        names.push("purgeHistoryDeleteUri", "restartPostUri", "suspendPostUri", "resumePostUri");
        same(names.filter((name) => !links[name].includes(links.id)), []);
        same((await (await fetch(links.statusQueryGetUri)).json()).runtimeStatus, "Completed");
    },

    // Entities are not there yet: every one of them is unknown.

    async knowsNoEntities() {
        const entity = new df.EntityId("Counter", "one");
        same((await client.readEntityState(entity)).entityExists, false);
        await rejects("unexpected status code: 404", client.signalEntity(entity, "add", 1));
    },
};

/** What the client offers to its users: the methods of its public type. */
function publicMethods() {
    const folder = require("node:path").dirname(require.resolve("durable-functions/package.json"));
    const types = fs.readFileSync(`${folder}/types/durableClient.d.ts`, "utf8");
    const body = types.slice(types.indexOf("class DurableClient"));
    const declared = new Set([...body.matchAll(/^ {4}(\w+)\(/gm)].map((match) => match[1]));
    const prototype = Object.getPrototypeOf(clientOf(binding));
    return Object.getOwnPropertyNames(prototype).filter((name) => name !== "constructor" && declared.has(name));
}

async function main() {
    for (const [check, run] of Object.entries(checks)) {
        let failed = null;
        try {
            await run();
        } catch (error) {
            failed = String(error.stack ?? error);
        }
        console.log(JSON.stringify({ check, failed }));
    }
    console.log(JSON.stringify({ methods: publicMethods().sort(), called: [...methodsCalled].sort() }));
}

main();
