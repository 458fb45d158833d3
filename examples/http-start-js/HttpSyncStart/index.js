const df = require("durable-functions");

module.exports = async function (context, req) {
    const client = df.getClient(context);
    const instanceId = await client.startNew(req.params.functionName, undefined, req.body);
    return client.waitForCompletionOrCreateCheckStatusResponse(req, instanceId, 5000, 500);
};
