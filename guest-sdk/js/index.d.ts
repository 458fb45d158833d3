// Types of the package `durawasm`, also found as `durable-functions` and `@azure/functions`.

/** A value that JSON can express comes back as what JSON makes of it. */
export type Json = unknown;

// ---------------------------------------------------------------------------------------------------------------------
// Declaring functions

export namespace app {
    /** Declares an orchestrator. What it returns can be called in other orchestrators: `yield hello("Tokyo")`. */
    function orchestration(name: string, handler: OrchestrationHandler | OrchestrationOptions): RegisteredOrchestration;
    /** Declares an activity, which does the work. It runs at least once for each call. */
    function activity(name: string, options: ActivityHandler | ActivityOptions): RegisteredActivity;
    /** Declares an HTTP function. Without methods it takes GET and POST, without a level it is anonymous. */
    function http(name: string, options: HttpHandler | HttpFunctionOptions): void;
    function get(name: string, options: HttpHandler | HttpMethodFunctionOptions): void;
    function post(name: string, options: HttpHandler | HttpMethodFunctionOptions): void;
    function put(name: string, options: HttpHandler | HttpMethodFunctionOptions): void;
    function patch(name: string, options: HttpHandler | HttpMethodFunctionOptions): void;
    function deleteRequest(name: string, options: HttpHandler | HttpMethodFunctionOptions): void;
    /** Declares a function that a schedule runs. */
    function timer(name: string, options: TimerFunctionOptions): void;
    /** Declares a function that is run by hand: `POST /admin/functions/NAME`. */
    function manual(name: string, options: ManualHandler | ManualFunctionOptions): void;
    /** Declares a function by its trigger. */
    function generic(name: string, options: GenericFunctionOptions): void;

    /** The same with the durable client as the handler's second parameter. */
    namespace client {
        function http(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function get(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function post(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function put(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function patch(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function deleteRequest(name: string, options: HttpDurableClientHandler | HttpDurableClientOptions): void;
        function timer(name: string, options: TimerDurableClientOptions): void;
        function manual(name: string, options: ManualDurableClientHandler | ManualDurableClientOptions): void;
        function generic(name: string, options: GenericFunctionOptions): void;
    }
}

export namespace input {
    /** The durable client, for `extraInputs`. */
    function durableClient(): DurableClientInput;
    function generic(options: FunctionBinding): FunctionBinding;
}

export namespace output {
    /** Starts what is set for it: `context.extraOutputs.set(starter, [{FunctionName, Input, InstanceId}])`. */
    function durableClient(options?: { name?: string }): FunctionBinding;
    function http(options?: object): FunctionBinding;
    function generic(options: FunctionBinding): FunctionBinding;
}

export namespace trigger {
    function orchestration(): FunctionBinding;
    function activity(): FunctionBinding;
    function http(options?: HttpTriggerOptions): FunctionBinding;
    function timer(options: Schedule): FunctionBinding;
    function manual(): FunctionBinding;
    function generic(options: FunctionBinding): FunctionBinding;
}

export interface FunctionBinding {
    type: string;
    name?: string;
    [key: string]: unknown;
}

export interface DurableClientInput extends FunctionBinding {
    type: "durableClient";
}

export interface FunctionOptions {
    extraInputs?: FunctionBinding[];
    extraOutputs?: FunctionBinding[];
}

export type FunctionResult<T> = T | Promise<T>;

export interface HttpTriggerOptions {
    /** `orders/{id}/{page?}`; the function's name if there is none. */
    route?: string;
    methods?: string[];
    authLevel?: "anonymous" | "function" | "admin";
}

export type HttpHandler = (
    request: HttpRequest,
    context: InvocationContext,
) => FunctionResult<HttpResponseInit | HttpResponse | void>;
export interface HttpFunctionOptions extends FunctionOptions, HttpTriggerOptions {
    handler: HttpHandler;
}
export type HttpMethodFunctionOptions = Omit<HttpFunctionOptions, "methods">;
export type HttpDurableClientHandler = (
    request: HttpRequest,
    client: DurableClient,
    context: InvocationContext,
) => FunctionResult<HttpResponseInit | HttpResponse | void>;
export interface HttpDurableClientOptions extends FunctionOptions, HttpTriggerOptions {
    handler: HttpDurableClientHandler;
}

/** What a timer function gets. */
export interface Timer {
    isPastDue: boolean;
    schedule: { adjustForDST: boolean };
    scheduleStatus: { last?: string; next?: string; lastUpdated?: string };
}

export interface Schedule {
    /** Six fields in UTC, the first of which are seconds: every five minutes is `0 *\/5 * * * *`. */
    schedule: string;
    /** False: an occurrence that comes while the host is down is left out. Otherwise it runs once when it is back. */
    useMonitor?: boolean;
    /** Also when the host starts, and when the app is deployed. */
    runOnStartup?: boolean;
}

export type TimerHandler = (timer: Timer, context: InvocationContext) => FunctionResult<unknown>;
export interface TimerFunctionOptions extends FunctionOptions, Schedule {
    handler: TimerHandler;
}
export type TimerDurableClientHandler = (
    timer: Timer,
    client: DurableClient,
    context: InvocationContext,
) => FunctionResult<unknown>;
export interface TimerDurableClientOptions extends FunctionOptions, Schedule {
    handler: TimerDurableClientHandler;
}

export type ManualHandler = (input: any, context: InvocationContext) => FunctionResult<unknown>;
export interface ManualFunctionOptions extends FunctionOptions {
    handler: ManualHandler;
}
export type ManualDurableClientHandler = (input: any, client: DurableClient, context: InvocationContext) => FunctionResult<unknown>;
export interface ManualDurableClientOptions extends FunctionOptions {
    handler: ManualDurableClientHandler;
}

export interface GenericFunctionOptions extends FunctionOptions {
    trigger: FunctionBinding;
    handler: (...args: any[]) => unknown;
}

export type ActivityHandler = (input: any, context: ActivityInvocationContext) => FunctionResult<unknown>;
export interface ActivityOptions extends FunctionOptions {
    handler: ActivityHandler;
}

/** An orchestrator: a generator function that yields tasks, or an async function that awaits them. */
export type OrchestrationHandler =
    | ((context: OrchestrationContext) => Generator<Task<any> | PromiseLike<unknown>, unknown, any>)
    | ((context: OrchestrationContext) => Promise<unknown>);
export interface OrchestrationOptions {
    handler: OrchestrationHandler;
}

export type RegisteredActivity = (input?: Json) => RegisteredTask;
export type RegisteredOrchestration = (input?: Json, instanceId?: string) => RegisteredTask;
/** A call that is made once it is waited for. */
export interface RegisteredTask extends Task<any> {
    withRetry(retryOptions: RetryOptions): Task<any>;
}
export type RegisteredActivityTask = RegisteredTask;
export type RegisteredOrchestrationTask = RegisteredTask;

/** The older form: `module.exports = df.orchestrator(function* (context) {…})`. */
export function orchestrator<H extends OrchestrationHandler>(handler: H): H;

// ---------------------------------------------------------------------------------------------------------------------
// Contexts

export interface Logger {
    trace(...args: unknown[]): void;
    debug(...args: unknown[]): void;
    info(...args: unknown[]): void;
    warn(...args: unknown[]): void;
    error(...args: unknown[]): void;
}

export interface InvocationContext extends Logger {
    functionName: string;
    invocationId: string;
    /** Writes to the log of the call; in orchestrators once, not again in replays. */
    log: ((...args: unknown[]) => void) & Logger;
    triggerMetadata: Record<string, unknown>;
    extraInputs: { get(binding: FunctionBinding | string): unknown };
    extraOutputs: { get(binding: FunctionBinding | string): unknown; set(binding: FunctionBinding | string, value: unknown): void };
}

export interface ActivityInvocationContext extends InvocationContext {
    activity: {
        /** The instance that called. */
        instanceId: string;
        taskId: number;
        /** 1 for the first attempt of a retry policy. */
        attempt: number;
        /** The same for every delivery of one attempt, and different for every other. */
        idempotencyKey: string;
        /** What the attempt before this one gave with its last heartbeat. */
        lastHeartbeat: Json;
        /** Says that the activity is alive; true: nobody waits for it any more, it should end. */
        heartbeat(details?: Json): boolean;
    };
}

export interface OrchestrationContext extends Logger {
    functionName: string;
    invocationId: string;
    log: ((...args: unknown[]) => void) & Logger;
    df: DurableOrchestrationContext;
}

export interface ActivityCallOptions {
    retry?: RetryOptions;
    /** Milliseconds an attempt may take. */
    timeoutInMilliseconds?: number;
    tags?: Record<string, string>;
}

export interface CallHttpOptions {
    method?: string;
    url: string;
    /** What is no text is sent as JSON. */
    body?: string | object;
    headers?: Record<string, string>;
    /** Whether 202 leads to asking again; it does if this is not said. */
    enablePolling?: boolean;
    /** For answers with these statuses (400 and above if none are named), and for requests without an answer. */
    retry?: RetryOptions;
    retryStatuses?: number[];
    timeoutInMilliseconds?: number;
    tags?: Record<string, string>;
}

export interface DurableHttpResponse {
    statusCode: number;
    headers: Record<string, string | string[]>;
    content?: string;
    /** In the place of `content` when that is no UTF-8. */
    contentBase64?: string;
}

export class DurableOrchestrationContext {
    private constructor();
    readonly instanceId: string;
    readonly executionId: string;
    readonly parentInstanceId: string | undefined;
    readonly name: string;
    readonly version: string | undefined;
    readonly tags: Record<string, string>;
    /** Always false. */
    readonly isReplaying: false;
    /** The time of the last completion that was delivered; the same in every replay. */
    readonly currentUtcDateTime: Date;
    readonly customStatus: Json;
    readonly Task: {
        /** Completes when all have completed, or one has failed (above 1,000 tasks: when all have ended). */
        all(tasks: Task<any>[]): Task<any[]>;
        /**
         * Completes with the first that does; its result is that task. In an async function `await` gives that task's
         * result instead: look at `isCompleted` to see which it was.
         */
        any(tasks: Task<any>[]): Task<any>;
    };
    getInput<T = any>(): T;
    callActivity<T = any>(name: string, input?: Json, options?: ActivityCallOptions): Task<T>;
    callActivityWithRetry<T = any>(name: string, retryOptions: RetryOptions, input?: Json): Task<T>;
    callSubOrchestrator<T = any>(
        name: string,
        input?: Json,
        instanceId?: string,
        version?: string,
        options?: { retry?: RetryOptions; tags?: Record<string, string> },
    ): Task<T>;
    callSubOrchestratorWithRetry<T = any>(
        name: string,
        retryOptions: RetryOptions,
        input?: Json,
        instanceId?: string,
        version?: string,
    ): Task<T>;
    /**
     * Makes an HTTP request, where the rules for egress allow it. An answer of 202 with a `Location` is asked for again
     * until it is done. The result is the answer, whatever its status.
     */
    callHttp(options: CallHttpOptions): Task<DurableHttpResponse>;
    /** Starts a child that nobody waits for; gives its id. */
    startSubOrchestrator(name: string, input?: Json, options?: { instanceId?: string; version?: string; tags?: Record<string, string> }): string;
    /** A durable timer of any length. */
    createTimer(fireAt: Date): TimerTask;
    /** Waits for an event that is raised from outside. Names are compared ignoring case. */
    waitForExternalEvent<T = any>(name: string): Task<T>;
    /** Raises an event on another instance, or this one. */
    sendEvent(instanceId: string, name: string, data?: Json): void;
    /** What the status shows, at most 16 KiB of JSON. */
    setCustomStatus(status: Json): void;
    /** Begins anew with this input once the function returns. Events nobody waited for are dropped, unless they are kept. */
    continueAsNew(input?: Json, options?: { keepEvents?: boolean }): void;
    /** A GUID that is the same in every replay and different in every call. */
    newGuid(instanceId?: string): string;
}

/** What completes later. Yield it in a generator, await it in an async function. */
export class Task<T = any> implements PromiseLike<T> {
    protected constructor();
    readonly isCompleted: boolean;
    readonly isFaulted: boolean;
    readonly result: T | undefined;
    then<A = T, B = never>(
        onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
        onRejected?: ((reason: any) => B | PromiseLike<B>) | null,
    ): Promise<A | B>;
    catch<B = never>(onRejected?: ((reason: any) => B | PromiseLike<B>) | null): Promise<T | B>;
    finally(onFinally?: (() => void) | null): Promise<T>;
}

export interface TimerTask extends Task<null> {
    readonly isCanceled: boolean;
    cancel(): void;
}

/** How a failed call is tried again. */
export class RetryOptions {
    constructor(firstRetryIntervalInMilliseconds: number, maxNumberOfAttempts: number);
    readonly firstRetryIntervalInMilliseconds: number;
    readonly maxNumberOfAttempts: number;
    backoffCoefficient: number;
    maxRetryIntervalInMilliseconds: number | undefined;
    retryTimeoutInMilliseconds: number | undefined;
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors

export interface FailureDetails {
    /** The name of the error in the language of the function that failed. */
    readonly errorType: string;
    readonly errorMessage: string;
    readonly stackTrace?: string;
    readonly isNonRetriable: boolean;
    readonly properties?: Record<string, unknown>;
    readonly innerFailure?: FailureDetails;
    isCausedBy(errorType: string): boolean;
}

/** Thrown into an orchestrator when an activity or a sub-orchestration failed. */
export class TaskFailedError extends Error {
    private constructor();
    readonly failureDetails: FailureDetails;
    readonly taskName?: string;
    readonly taskId?: number;
}

/** Misuse of the SDK. */
export class DurableError extends Error {
    constructor(message?: string);
}

/** An error that no retry policy tries again. */
export class NonRetriableError extends Error {
    constructor(message?: string, options?: { cause?: unknown });
    readonly nonRetriable: true;
}

/** Thrown by the durable client when the host refuses. */
export class ClientError extends Error {
    private constructor();
    readonly code: "already-exists" | "not-found" | "ended" | "not-failed" | "not-ended" | "invalid" | "limit" | "unavailable";
    /** The instance that has the id already. */
    readonly status?: DurableOrchestrationStatus;
}

export interface ExceptionPropertiesProvider {
    getExceptionProperties(error: unknown): Record<string, unknown> | undefined;
}

/** Adds facts to failures. */
export function setExceptionPropertiesProvider(provider: ExceptionPropertiesProvider | undefined): void;

// ---------------------------------------------------------------------------------------------------------------------
// The durable client

/** The durable client of a function that declared it. */
export function getClient(context: object): DurableClient;

export enum OrchestrationRuntimeStatus {
    Running = "Running",
    Completed = "Completed",
    ContinuedAsNew = "ContinuedAsNew",
    Failed = "Failed",
    Canceled = "Canceled",
    Terminated = "Terminated",
    Pending = "Pending",
    Suspended = "Suspended",
}

export interface DurableOrchestrationStatus {
    readonly name: string;
    readonly instanceId: string;
    readonly version?: string;
    readonly runtimeStatus: OrchestrationRuntimeStatus;
    readonly input: any;
    readonly customStatus: any;
    readonly output: any;
    readonly createdTime: Date;
    readonly lastUpdatedTime: Date;
    readonly parentInstanceId?: string;
    readonly tags: Record<string, string>;
    readonly history?: any[];
}

export interface StartNewOptions {
    instanceId?: string;
    input?: Json;
    version?: string;
    tags?: Record<string, string>;
    /** Which instance with this id may be replaced: none, one that has ended (the default), or any. */
    reuse?: "never" | "terminal" | "any";
    scheduledTime?: Date | string;
}

export interface OrchestrationFilter {
    createdTimeFrom?: Date;
    createdTimeTo?: Date;
    runtimeStatus?: (OrchestrationRuntimeStatus | keyof typeof OrchestrationRuntimeStatus)[];
    name?: string;
    instanceIdPrefix?: string;
    showInput?: boolean;
}

export interface GetStatusOptions {
    showHistory?: boolean;
    showHistoryOutput?: boolean;
    showInput?: boolean;
}

export interface WaitForCompletionOptions {
    timeoutInMilliseconds?: number;
    retryIntervalInMilliseconds?: number;
}

/** The client manages the function's own hub: naming another one is an error. */
export interface TaskHubOptions {
    taskHubName?: string;
    connectionName?: string;
}

export interface HttpManagementPayload {
    readonly id: string;
    readonly statusQueryGetUri: string;
    readonly sendEventPostUri: string;
    readonly terminatePostUri: string;
    readonly rewindPostUri: string;
    readonly purgeHistoryDeleteUri: string;
    readonly restartPostUri: string;
    readonly suspendPostUri: string;
    readonly resumePostUri: string;
}

export interface PurgeHistoryResult {
    readonly instancesDeleted: number;
}

export class DurableClient {
    private constructor();
    readonly taskHubName: string;
    startNew(orchestrator: string, options?: StartNewOptions): Promise<string>;
    startNew(orchestrator: string, instanceId: string | undefined, input?: Json): Promise<string>;
    /** Starts several, all or none. */
    startMany(requests: (StartNewOptions & { name: string })[]): Promise<string[]>;
    /** null: there is no such instance. */
    getStatus(instanceId: string, options?: GetStatusOptions): Promise<DurableOrchestrationStatus | null>;
    getStatus(instanceId: string, showHistory: boolean, showHistoryOutput?: boolean, showInput?: boolean): Promise<DurableOrchestrationStatus | null>;
    getStatusAll(): Promise<DurableOrchestrationStatus[]>;
    getStatusBy(filter: OrchestrationFilter): Promise<DurableOrchestrationStatus[]>;
    raiseEvent(instanceId: string, eventName: string, eventData?: Json, options?: TaskHubOptions): Promise<void>;
    terminate(instanceId: string, reason?: string, options?: { recursive?: boolean }): Promise<void>;
    suspend(instanceId: string, reason?: string): Promise<void>;
    resume(instanceId: string, reason?: string): Promise<void>;
    rewind(instanceId: string, reason?: string, options?: TaskHubOptions): Promise<void>;
    /** Runs the instance again, under a new id unless it is told otherwise; gives the id. */
    restart(instanceId: string, options?: { restartWithNewInstanceId?: boolean }): Promise<string>;
    purgeInstanceHistory(instanceId: string, options?: { recursive?: boolean }): Promise<PurgeHistoryResult>;
    purgeInstanceHistoryBy(filter: OrchestrationFilter & { recursive?: boolean }): Promise<PurgeHistoryResult>;
    /** null: it has not ended within this time. */
    waitForCompletion(instanceId: string, timeoutInMilliseconds?: number): Promise<DurableOrchestrationStatus | null>;
    /** null: it is still pending after this time. */
    waitForStart(instanceId: string, timeoutInMilliseconds?: number): Promise<DurableOrchestrationStatus | null>;
    createHttpManagementPayload(instanceId: string): HttpManagementPayload;
    createCheckStatusResponse(request: unknown, instanceId: string): HttpResponse;
    waitForCompletionOrCreateCheckStatusResponse(
        request: unknown,
        instanceId: string,
        waitOptions?: WaitForCompletionOptions,
    ): Promise<HttpResponse>;
}

// ---------------------------------------------------------------------------------------------------------------------
// HTTP

type Pairs = Record<string, string> | Iterable<readonly [string, string]>;

export interface ReadOnlyPairs extends Iterable<[string, string]> {
    get(name: string): string | null;
    getAll(name: string): string[];
    has(name: string): boolean;
    entries(): Iterator<[string, string]>;
    keys(): Iterator<string>;
    values(): Iterator<string>;
    forEach(callback: (value: string, name: string) => void): void;
}

export class Headers implements ReadOnlyPairs {
    constructor(init?: Pairs);
    get(name: string): string | null;
    getAll(name: string): string[];
    getSetCookie(): string[];
    has(name: string): boolean;
    set(name: string, value: string): void;
    append(name: string, value: string): void;
    delete(name: string): void;
    entries(): Iterator<[string, string]>;
    keys(): Iterator<string>;
    values(): Iterator<string>;
    forEach(callback: (value: string, name: string) => void): void;
    [Symbol.iterator](): Iterator<[string, string]>;
}

interface Body {
    readonly bodyUsed: boolean;
    text(): Promise<string>;
    json(): Promise<any>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
}

export class HttpRequest implements Body {
    constructor(init: {
        method?: string;
        url?: string;
        headers?: Pairs;
        query?: Pairs;
        params?: Record<string, string>;
        body?: string | Uint8Array | { string?: string; bytes?: Uint8Array };
    });
    readonly method: string;
    readonly url: string;
    readonly headers: Headers;
    readonly query: ReadOnlyPairs;
    readonly params: Record<string, string>;
    readonly user: null;
    readonly bodyUsed: boolean;
    text(): Promise<string>;
    json(): Promise<any>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
}

export interface HttpResponseInit {
    status?: number;
    headers?: Pairs;
    body?: string | ArrayBuffer | ArrayBufferView;
    jsonBody?: unknown;
}

export class HttpResponse implements Body {
    constructor(init?: HttpResponseInit);
    readonly status: number;
    readonly headers: Headers;
    readonly bodyUsed: boolean;
    text(): Promise<string>;
    json(): Promise<any>;
    bytes(): Promise<Uint8Array>;
    arrayBuffer(): Promise<ArrayBuffer>;
}

declare const all: typeof import("./index.js");
export default all;
