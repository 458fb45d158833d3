const df = require("durable-functions");

module.exports = df.orchestrator(function* (context) {
    const greeting = yield context.df.callActivity("SayHello", context.df.getInput());
    yield context.df.waitForExternalEvent("Go");
    return greeting;
});
