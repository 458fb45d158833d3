// The parts that stand in for what an engine lacks.

import assert from "node:assert/strict";
import test from "node:test";
import { QueuedPromise, flush } from "../src/engines/promise.js";
import { toFailure } from "../src/errors.js";
import { Headers, HttpResponse, toResponse } from "../src/http.js";
import { registerFolder } from "../src/legacy.js";
import { line } from "../src/log.js";
import { find } from "../src/registry.js";
import * as df from "../src/index.js";
import { character, encodeByHand, decodeByHand } from "../src/text.js";

/** What a piece of code notes down with these promises. */
function order(code, P) {
    const notes = [];
    code(P, (note) => notes.push(note));
    return notes;
}

const programs = {
    chains(P, note) {
        P.resolve(1).then(note).then(() => note(2)).then(() => note(3));
        P.resolve("a").then(note).then(() => note("b"));
        note("first");
    },
    adoption(P, note) {
        P.resolve().then(() => P.resolve(1)).then(note);
        P.resolve().then(() => note("x")).then(() => note("y")).then(() => note("z"));
        new P((resolve) => resolve({ then: (done) => done("thenable") })).then(note);
    },
    failures(P, note) {
        P.reject(1).catch((error) => note(`caught ${error}`)).finally(() => note("finally"));
        P.reject(2).then(note, (error) => { throw error + 1; }).catch(note);
        new P(() => { throw 4; }).catch(note);
        P.resolve(5).finally(() => { throw 6; }).catch(note);
    },
    groups(P, note) {
        const { promise, resolve } = P.withResolvers ? P.withResolvers() : { promise: P.resolve(9), resolve() {} };
        P.all([1, P.resolve(2), promise]).then((all) => note(all.join()));
        P.all([]).then((all) => note(all.length));
        P.allSettled([P.reject(1), 2]).then((all) => note(all.map((each) => each.status).join()));
        P.race([new P(() => {}), P.resolve("won")]).then(note);
        P.any([P.reject(1), P.resolve("any")]).then(note);
        P.any([P.reject(1)]).catch((error) => note(error.errors.join()));
        resolve(9);
    },
};

for (const [name, program] of Object.entries(programs)) {
    test(`queued promises: ${name} as the language's own`, async () => {
        const own = [];
        program(QueuedPromise, (note) => own.push(note));
        flush();
        const native = order(program, Promise);
        await new Promise((resolve) => setTimeout(resolve, 5));
        assert.deepEqual([...own].sort(), [...native].sort());
        if (name === "chains" || name === "failures") {
            assert.deepEqual(own, native);
        }
    });
}

test("UTF-8 by hand is that of the platform", () => {
    const texts = ["", "ascii", "grüße", "€", "\u{1f600}", "\u0000\uffff", "a\ud800b", "\ufeffmark"];
    for (const text of texts) {
        assert.deepEqual(encodeByHand(text), new TextEncoder().encode(text), JSON.stringify(text));
    }
    const bytes = [[], [0xc3], [0xc3, 0x28], [0xe2, 0x82], [0xf0, 0x9f, 0x98, 0x80], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xff, 0x41], [0xef, 0xbb, 0xbf, 0x61]];
    for (const each of bytes) {
        assert.equal(decodeByHand(Uint8Array.from(each)), new TextDecoder().decode(Uint8Array.from(each)), String(each));
    }
    assert.equal(decodeByHand(encodeByHand("x".repeat(10_000))).length, 10_000);
    assert.deepEqual(character(Uint8Array.of(0x41), 0), [0x41, 1]);
});

test("failures of everything that can be thrown", () => {
    assert.equal(toFailure("text").message, "text");
    assert.equal(toFailure(undefined).message, "undefined");
    assert.equal(toFailure({ a: 1 }).message, '{"a":1}');
    const looped = new Error("loop");
    looped.cause = looped;
    assert.deepEqual(toFailure(looped).causes, []);
    let deep = new Error("0");
    for (let n = 1; n < 100; n += 1) {
        deep = new Error(String(n), { cause: deep });
    }
    assert.equal(toFailure(deep).causes.length, 32);
    assert.deepEqual(toFailure(new AggregateError([new TypeError("one"), "two"], "both")).causes.map((cause) => cause.message), ["one", "two"]);
    assert.equal(toFailure(Object.assign(new Error("x"), { properties: { a: 1 } })).properties, '{"a":1}');
    const circular = {};
    circular.self = circular;
    assert.equal(toFailure(Object.assign(new Error("x"), { properties: circular })).properties, null);
    assert.equal(toFailure(circular).errorType, "object");
});

test("responses and headers", async () => {
    assert.equal(toResponse(undefined).status, 204);
    assert.throws(() => toResponse("text"), /HttpResponse/);
    const response = new HttpResponse({ jsonBody: [1] });
    assert.deepEqual([response.status, response.headers.get("Content-Type"), await response.text()], [200, "application/json", "[1]"]);
    const headers = new Headers([["A", "1"], ["a", "2"]]);
    assert.deepEqual([headers.get("a"), [...headers.keys()]], ["1, 2", ["a", "a"]]);
    assert.throws(() => new HttpResponse({ body: { a: 1 } }), /jsonBody/);
});

test("lines of the log", () => {
    assert.equal(line(["%s is %d, %j %%", "a", "5", { b: 1 }, "rest"]), 'a is 5, {"b":1} % rest');
    assert.equal(line(["plain", undefined, null, 5n, { n: 6n }]), 'plain undefined null 5 {"n":"6n"}');
    assert.match(line([new TypeError("no")]), /^TypeError: no\n/);
});

test("starts in an output that is not declared are an error, and other values are none", async () => {
    const starter = { name: "starter", type: "orchestrationClient", direction: "in" };
    let left;
    registerFolder("Undeclared", { bindings: [starter] }, async (context) => void (context.bindings.starter = left));
    const called = (value) => {
        left = value;
        return find(["manual"], "Undeclared").handler(null, {});
    };
    for (const value of [{ FunctionName: "F" }, [{ functionName: "F", input: 1 }]]) {
        await assert.rejects(() => called(value), /nothing was started: the output 'starter' is no declared binding of type durableClient/);
    }
    for (const value of [undefined, null, "text", [1, null], { name: "F" }]) {
        await called(value);
    }
    // What it was called with is no output.
    registerFolder("Given", { bindings: [{ name: "order", type: "manualTrigger", direction: "in" }] }, async () => "done");
    assert.equal(await find(["manual"], "Given").handler({ FunctionName: "F" }, {}), "done");
});

test("timer functions tell all of their schedule", () => {
    const schedule = "0 */5 * * * *";
    const handler = () => {};
    df.app.timer("Often", { schedule, runOnStartup: true, useMonitor: false, handler });
    df.app.timer("Seldom", { schedule, handler });
    assert.deepEqual(find(["timer"], "Often").config, { schedule, useMonitor: false, runOnStartup: true });
    assert.deepEqual(find(["timer"], "Seldom").config, { schedule, useMonitor: true, runOnStartup: false });
    assert.throws(() => df.app.timer("Never", { handler }), /'Never' needs a schedule/);
});
