// The package `durawasm`, also found as `durable-functions` and `@azure/functions`.

import { EntityId, app, input, output, trigger } from "./app.js";
import { getClient } from "./client-of.js";
import { orchestrator } from "./legacy.js";

export { EntityId, app, input, output, trigger, getClient, orchestrator };
export { DurableClient, DurableOrchestrationStatus, OrchestrationRuntimeStatus, PurgeHistoryResult } from "./client.js";
export { DurableOrchestrationContext, OrchestrationContext, RetryOptions } from "./context.js";
export {
    ClientError,
    DurableError,
    FailureDetails,
    NonRetriableError,
    TaskFailedError,
    setExceptionPropertiesProvider,
} from "./errors.js";
export { Headers, HttpRequest, HttpResponse } from "./http.js";
export { Task } from "./task.js";

/** For TypeScript's `import df from "durable-functions"`. */
export { default } from "./default.js";
