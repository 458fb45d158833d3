import { app } from "@azure/functions";
import type { HttpRequest, HttpResponse, HttpResponseInit, InvocationContext } from "@azure/functions";
import * as df from "durable-functions";
import type { OrchestrationContext } from "durable-functions";

/** Starts any orchestration with the body as its input and says where to ask for it. */
app.http("TS4_HttpStart", {
    route: "ts/orchestrators/{functionName}",
    methods: ["POST"],
    extraInputs: [df.input.durableClient()],
    handler: async (request: HttpRequest, context: InvocationContext): Promise<HttpResponse> => {
        const client = df.getClient(context);
        const instanceId = await client.startNew(request.params.functionName, { input: await request.json() });
        context.log(`Started orchestration with ID = '${instanceId}'.`);
        return client.createCheckStatusResponse(request, instanceId);
    },
});

/** A singleton. The start itself decides, in one step: of simultaneous requests one starts the instance. */
app.http("TS4_HttpStartSingle", {
    route: "ts/orchestrators/{functionName}/{instanceId}",
    methods: ["POST"],
    extraInputs: [df.input.durableClient()],
    handler: async (request: HttpRequest, context: InvocationContext): Promise<HttpResponse | HttpResponseInit> => {
        const client = df.getClient(context);
        const { functionName, instanceId } = request.params;
        try {
            await client.startNew(functionName, { instanceId, input: await request.json() });
        } catch (error) {
            if (error instanceof df.ClientError && error.code === "already-exists") {
                return { status: 409, body: `An instance with ID '${instanceId}' already exists.` };
            }
            throw error;
        }
        return client.createCheckStatusResponse(request, instanceId);
    },
});

df.app.orchestration("TS4_WaitsForGo", function* (context: OrchestrationContext) {
    yield context.df.waitForExternalEvent("Go");
    return context.df.getInput<string>();
});
