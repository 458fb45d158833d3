// What the guides of `durable-functions` v3 use: it must fit the types of that package and those of the SDK.

import { app } from "@azure/functions";
import type { HttpHandler, HttpRequest, HttpResponse, HttpResponseInit, InvocationContext, Timer, TimerHandler } from "@azure/functions";
import * as df from "durable-functions";
import type {
    ActivityHandler,
    ActivityOptions,
    DurableClient,
    DurableClientInput,
    DurableOrchestrationContext,
    DurableOrchestrationStatus,
    HttpDurableClientHandler,
    HttpManagementPayload,
    OrchestrationContext,
    OrchestrationFilter,
    OrchestrationHandler,
    OrchestrationOptions,
    PurgeHistoryResult,
    RegisteredActivity,
    RegisteredActivityTask,
    RegisteredOrchestration,
    RegisteredOrchestrationTask,
    StartNewOptions,
    Task,
    TimerDurableClientHandler,
    TimerTask,
} from "durable-functions";

const chain: OrchestrationHandler = function* (context: OrchestrationContext) {
    const retry = new df.RetryOptions(5000, 3);
    retry.backoffCoefficient = 2;
    retry.maxRetryIntervalInMilliseconds = 60_000;
    retry.retryTimeoutInMilliseconds = 600_000;
    const input: { cities: string[] } = context.df.getInput<{ cities: string[] }>();
    const outputs: string[] = [];
    for (const city of input.cities) {
        outputs.push(yield context.df.callActivityWithRetry("hello", retry, city));
    }
    const tasks: Task[] = input.cities.map((city) => context.df.callActivity("hello", city));
    const all: string[] = yield context.df.Task.all(tasks);
    const expiry: Date = new Date(context.df.currentUtcDateTime.getTime() + 90_000);
    const timer: TimerTask = context.df.createTimer(expiry);
    const event: Task = context.df.waitForExternalEvent("Approval");
    const winner: Task = yield context.df.Task.any([event, timer]);
    if (winner === event && !timer.isCompleted) {
        timer.cancel();
    }
    context.df.setCustomStatus({ approved: winner === event && event.result === true });
    const child: string = yield context.df.callSubOrchestrator("child", all, `${context.df.instanceId}:0`);
    yield context.df.callSubOrchestratorWithRetry("child", retry, child);
    const answer = yield context.df.callHttp({ method: "POST", url: "https://example.com", body: { child }, headers: { a: "b" }, enablePolling: false });
    try {
        yield context.df.callActivity("fails");
    } catch (error) {
        context.error(error instanceof df.TaskFailedError ? error.message : String(error));
    }
    if (!context.df.isReplaying) {
        context.log(context.df.newGuid("seed"), context.df.parentInstanceId, context.df.version, event.isFaulted, answer);
    }
    context.df.continueAsNew({ cities: outputs });
    return outputs;
};

const options: OrchestrationOptions = { handler: chain };
const registered: RegisteredOrchestration = df.app.orchestration("chain", options);
const hello: RegisteredActivity = df.app.activity("hello", { handler: (city: string): string => `Hello ${city}` });
const asynchronous: ActivityHandler = async (input: number, context: InvocationContext) => {
    context.trace(context.functionName, context.invocationId);
    return input + 1;
};
df.app.activity("fails", { handler: asynchronous } satisfies ActivityOptions);

df.app.orchestration("registered", function* (context) {
    const task: RegisteredActivityTask = hello("Tokyo");
    const child: RegisteredOrchestrationTask = registered({ cities: [] }, "child-1");
    const own: DurableOrchestrationContext = context.df;
    yield child.withRetry(new df.RetryOptions(1000, 2));
    own.setCustomStatus(own.customStatus);
    return yield task;
});

const clientInput: DurableClientInput = df.input.durableClient();
const start: HttpHandler = async (request: HttpRequest, context: InvocationContext): Promise<HttpResponse | HttpResponseInit> => {
    const client: DurableClient = df.getClient(context);
    const body: unknown = await request.json();
    const given: StartNewOptions = { input: body, instanceId: request.query.get("id") ?? undefined };
    const instanceId: string = await client.startNew(request.params.name, given);
    if (request.headers.get("x-wait") === "1") {
        return client.waitForCompletionOrCreateCheckStatusResponse(request, instanceId, { timeoutInMilliseconds: 5000, retryIntervalInMilliseconds: 500 });
    }
    return client.createCheckStatusResponse(request, instanceId);
};
app.http("start", { route: "orchestrators/{name}", methods: ["POST"], authLevel: "function", extraInputs: [clientInput], handler: start });

const manage: HttpDurableClientHandler = async (request, client, context) => {
    const { id } = request.params;
    const status: DurableOrchestrationStatus = (await client.getStatus(id, { showHistory: true, showHistoryOutput: true, showInput: true }))!;
    if (status.runtimeStatus === df.OrchestrationRuntimeStatus.Completed) {
        return { status: 200, jsonBody: { name: status.name, output: status.output, at: status.lastUpdatedTime.toISOString() } };
    }
    await client.raiseEvent(id, "Approval", true);
    await client.raiseEvent(id, "Approval", true, { taskHubName: client.taskHubName });
    await client.suspend(id, "why");
    await client.resume(id, "why");
    await client.rewind(id, "why");
    await client.terminate(id, "why");
    const filter: OrchestrationFilter = {
        createdTimeFrom: new Date(0),
        createdTimeTo: new Date(),
        runtimeStatus: [df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Failed],
    };
    const found = (await client.getStatusBy(filter)).concat(await client.getStatusAll());
    const one: PurgeHistoryResult = await client.purgeInstanceHistory(id);
    const many = await client.purgeInstanceHistoryBy(filter);
    const links: HttpManagementPayload = client.createHttpManagementPayload(id);
    context.log(found.length, one.instancesDeleted + many.instancesDeleted, links.statusQueryGetUri, links.sendEventPostUri);
    return { status: 404, body: "none", headers: { "Content-Type": "text/plain" } };
};
df.app.client.http("manage", { route: "manage/{id}", methods: ["GET", "POST"], handler: manage });

const nightly: TimerDurableClientHandler = async (timer: Timer, client) => {
    if (!timer.isPastDue) {
        await client.startNew("chain", { input: { cities: [] } });
    }
};
df.app.client.timer("nightly", { schedule: "0 0 3 * * *", handler: nightly });
const tick: TimerHandler = (timer, context) => context.log(timer.scheduleStatus.next);
app.timer("tick", { schedule: "0 */5 * * * *", handler: tick });
app.get("hello", async (request) => ({ jsonBody: { url: request.url, method: request.method } }));
