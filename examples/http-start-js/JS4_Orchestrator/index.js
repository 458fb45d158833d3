const df = require("durable-functions");

module.exports = df.orchestrator(function* (context) {
    return yield context.df.callActivity("JS4_SayHello", context.df.getInput());
});
