// The runner for authors' tests, and through it what orchestrators do.

import assert from "node:assert/strict";
import test from "node:test";
import { NonDeterminismError, callHttp, runActivity, runOrchestration, runTrigger } from "durawasm/testing";
import "./functions.js";

test("activities one after the other, with what they were called with", async () => {
    const result = await runOrchestration("Hello");
    assert.equal(result.runtimeStatus, "Completed");
    assert.deepEqual(result.output, ["Hello Tokyo!", "Hello Seattle!"]);
    assert.deepEqual(result.calls.map(({ input }) => input), ["Tokyo", "Seattle"]);
    assert.deepEqual(result.logs, [{ level: "info", message: "greeted 2" }]);
});

test("activities are replaced by the test's", async () => {
    const result = await runOrchestration("Hello", { activities: { SayHello: async (name) => name.length } });
    assert.deepEqual(result.output, [5, 7]);
});

test("declared activities are called like functions", async () => {
    assert.deepEqual((await runOrchestration("Registered")).output, ["Hello Ada!", "Hello Bob!"]);
});

test("events and timers race in simulated time", async () => {
    const at = (after, data) => runOrchestration("Approval", { events: [{ name: "approval", data, after }] });
    assert.equal((await at(1000, true)).output, "approved");
    assert.equal((await at(59_999, false)).output, "rejected");
    const late = await at(60_001, true);
    assert.deepEqual([late.output, late.customStatus, late.now.toISOString()], ["expired", "asking", "2026-01-01T00:01:00.000Z"]);
});

test("a retry policy waits longer each time", async () => {
    const { output } = await runOrchestration("Retries", { start: "2030-01-01T00:00:00Z" });
    assert.deepEqual(output, [3, "2030-01-01T00:00:03.000Z"]);
});

test("Task.all fails with the first failure and does not wait for the others", async () => {
    assert.deepEqual((await runOrchestration("FailsFast")).output, [true, "RangeError", "attempt 1"]);
});

test("sub-orchestrations run with their own events, in their parent's time", async () => {
    const result = await runOrchestration("Parent", { instanceId: "top", childEvents: { kid: [{ name: "Go", data: 7, after: 9000 }] } });
    assert.deepEqual(result.output, [["top", 3, 7], "top:2"]);
    assert.equal(result.now.toISOString(), "2026-01-01T00:00:09.000Z");
    assert.deepEqual(result.sent, [{ instanceId: "somebody", name: "Done", data: ["top", 3, 7] }]);
    const replaced = await runOrchestration("Parent", { orchestrators: { Child: (n) => n * 2 } });
    assert.equal(replaced.output[0], 6);
});

test("continue-as-new goes on with the new input", async () => {
    const result = await runOrchestration("Counts", { input: 0 });
    assert.deepEqual([result.output, result.executions], [3, 4]);
    const stopped = await runOrchestration("Counts", { input: 0, maxExecutions: 2 });
    assert.deepEqual([stopped.runtimeStatus, stopped.input], ["ContinuedAsNew", 2]);
});

test("failures are passed on as they are, or as causes", async () => {
    const passed = await runOrchestration("Passes");
    assert.deepEqual([passed.runtimeStatus, passed.failure.errorType, passed.failure.message], ["Failed", "RangeError", "attempt 1"]);
    const wrapped = (await runOrchestration("Wraps")).failure;
    assert.deepEqual([wrapped.errorType, wrapped.message, wrapped.nonRetriable], ["NonRetriableError", "it is of no use", true]);
    assert.deepEqual(wrapped.causes.map(({ errorType, message }) => [errorType, message]), [["RangeError", "attempt 1"]]);
});

test("HTTP calls are answered by the test, and tried again", async () => {
    const asked = [];
    const http = (request) => {
        asked.push(request);
        return request.method === "GET" ? { statusCode: 404, content: "none" } : { statusCode: asked.length < 3 ? 503 : 202 };
    };
    const result = await runOrchestration("Fetches", { http });
    assert.deepEqual([result.output, result.now.toISOString()], [[202, 404, "none"], "2026-01-01T00:00:02.000Z"]);
    const headers = { "Content-Type": "application/json" };
    assert.deepEqual(asked[0], { method: "POST", url: "http://localhost/jobs", headers, body: '{"a":1}' });
    assert.deepEqual(asked.map(({ method }) => method), ["POST", "POST", "POST", "GET"]);
    assert.deepEqual(result.calls.map(({ kind, name }) => [kind, name]), [["http", "POST http://localhost/jobs"], ["http", "GET http://localhost/jobs/1"]]);
    assert.match((await runOrchestration("Fetches")).failure.message, /nothing answers POST .*option http/);
});

test("what would wait for ever is an error that says for what", async () => {
    const result = await runOrchestration("Child", { input: 1 });
    assert.match(result.error.message, /event go/);
    await assert.rejects(runActivity("Nobody"), /no function 'Nobody'/);
});

test("activities, HTTP and timer functions by themselves", async () => {
    assert.equal(await runActivity("Flaky", 2, { attempt: 2 }), 2);
    const started = [];
    const client = { startNew: async (name, options) => started.push([name, options.input]) && "id-1" };
    const answer = await callHttp("Start", { method: "POST", body: '{"a":1}' }, { client });
    assert.deepEqual([answer.status, answer.json(), started], [202, { id: "id-1" }, [["Hello", { a: 1 }]]]);
    const echo = await callHttp("Echo", { query: { a: "1" }, body: "text" });
    assert.deepEqual([echo.status, echo.text, echo.headers["x-a"]], [200, "GET 1 text", "b"]);
    const logs = [];
    await runTrigger("Nightly", { isPastDue: true }, { log: (level, line) => logs.push(line) });
    assert.deepEqual(logs, ["past due true"]);
});

test("an orchestrator that does something else when it runs again fails its test, with the call", async () => {
    const message = /'Forgets' is not deterministic: its call 2 was activity SayHello 1; when it ran again .* it was activity SayHello 2/;
    await assert.rejects(runOrchestration("Forgets"), (error) => error instanceof NonDeterminismError && message.test(error.message));
    await assert.rejects(runOrchestration("StopsEarly"), /it did not make it|it went on with activity SayHello/);
    await assert.rejects(runOrchestration("EndsOtherwise"), /it returned \d+; when it ran again on what was recorded, it returned \d+/);
});

test("an activity runs once, and what orchestrators write is there once", async () => {
    let calls = 0;
    const warned = [];
    const before = console.warn;
    console.warn = (...args) => warned.push(args);
    const result = await runOrchestration("UsesTheLibrary", { activities: { SayHello: () => (calls += 1) } });
    console.warn = before;
    assert.deepEqual([calls, warned.length, result.logs], [1, 1, [{ level: "warn", message: "slept until 2026-01-01T00:01:00.000Z" }]]);
});

test("the library's clock, chance and timers are the simulation's in orchestrators only", async () => {
    const [one, two] = [await runOrchestration("UsesTheLibrary"), await runOrchestration("UsesTheLibrary")];
    assert.deepEqual(one.output, two.output);
    const [[now, date, random, uuid], isDate, slept] = one.output;
    assert.deepEqual([now, date, isDate, slept], [Date.parse("2026-01-01"), "2026-01-01T00:00:00.000Z", true, 60_000]);
    assert.ok(random >= 0 && random < 1);
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    const other = await runOrchestration("UsesTheLibrary", { instanceId: "another" });
    assert.notEqual(other.output[0][3], uuid);
    const started = Date.now();
    assert.ok((await runOrchestration("AsksForTheTime")).output >= started, "activities have the real clock");
    assert.ok(Math.abs(Date.now() - started) < 60_000);
});
