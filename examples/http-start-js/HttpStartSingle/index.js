const df = require("durable-functions");

// The start itself decides, in one step: of simultaneous requests one starts the instance.
module.exports = async function (context, req) {
    const client = df.getClient(context);
    const { functionName, instanceId } = req.params;
    try {
        await client.startNew(functionName, instanceId, req.body);
    } catch (error) {
        if (error.code !== "already-exists") {
            throw error;
        }
        return { status: 409, body: `An instance with ID '${instanceId}' already exists.` };
    }
    return client.createCheckStatusResponse(req, instanceId);
};
