// Client functions: each operation of the durable client.

import * as df from "durable-functions";

df.app.client.http("Manage", {
    route: "manage/{operation}/{instanceId?}",
    handler: async (request, client, context) => {
        const { operation, instanceId } = request.params;
        const body = request.method === "POST" ? await request.json() : null;
        const operations = {
            start: () => client.startNew(body.name, { instanceId, input: body.input, tags: body.tags, reuse: body.reuse }),
            startOld: () => client.startNew(body.name, instanceId, body.input),
            startMany: () => client.startMany(body),
            status: () => client.getStatus(instanceId, { showHistory: true, showHistoryOutput: true }),
            all: async () => (await client.getStatusAll()).map((status) => status.instanceId),
            by: async () => (await client.getStatusBy(body)).map((status) => status.instanceId),
            event: () => client.raiseEvent(instanceId, body.name, body.data),
            terminate: () => client.terminate(instanceId, "because"),
            suspend: () => client.suspend(instanceId, "because"),
            resume: () => client.resume(instanceId, "because"),
            rewind: () => client.rewind(instanceId, "because"),
            restart: () => client.restart(instanceId),
            purge: () => client.purgeInstanceHistory(instanceId),
            purgeBy: () => client.purgeInstanceHistoryBy(body),
            payload: () => client.createHttpManagementPayload(instanceId),
            hub: () => client.taskHubName,
        };
        if (operation === "check") {
            return client.createCheckStatusResponse(request, instanceId);
        }
        if (operation === "wait") {
            return client.waitForCompletionOrCreateCheckStatusResponse(request, instanceId, body ?? undefined);
        }
        context.log("managing", operation);
        try {
            return { jsonBody: (await operations[operation]()) ?? null };
        } catch (error) {
            return { status: 409, jsonBody: { error: error.name, code: error.code, message: error.message } };
        }
    },
});

/** What comes in goes out again. */
df.app.http("Mirror", {
    route: "mirror/{*rest}",
    methods: ["PUT", "POST"],
    handler: async (request) => ({
        status: 203,
        headers: { "X-Mirror": request.headers.get("x-given") ?? "none", "content-type": request.headers.get("content-type") ?? "text/plain" },
        body: request.query.has("bytes") ? await request.bytes() : `${request.params.rest} ${request.query.getAll("q").join("+")} ${await request.text()}`,
    }),
});

df.app.client.manual("ManualStart", async (input, client) => client.startNew("Sequence", { instanceId: input.id, input: input.items }));

df.app.http("Throws", { handler: () => { throw new TypeError("not for the client's eyes"); } });

df.app.http("NoClient", { handler: (request, context) => ({ body: String(df.getClient(context)) }) });
