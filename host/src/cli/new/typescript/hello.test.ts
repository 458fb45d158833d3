// Tests without a server: build the app once, which puts the SDK here, then `npm test`.

import assert from "node:assert/strict";
import test from "node:test";
import { runOrchestration } from "durawasm/testing";
import "../src/functions/hello.ts";

test("it greets three cities", async () => {
    const result = await runOrchestration("HelloSequence");
    assert.deepEqual(result.output, ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]);
    assert.deepEqual(result.calls.map((call) => call.input), ["Tokyo", "Seattle", "London"]);
});
