// Types of `durawasm/testing`.

import type { HttpRequest } from "./index.js";

export interface SimulatedEvent {
    name: string;
    data?: unknown;
    /** Milliseconds of simulated time after the start. */
    after?: number;
}

export interface HttpAnswer {
    /** 200 if it is not said. */
    statusCode?: number;
    headers?: Record<string, string>;
    content?: string | null;
}

export interface OrchestrationTestOptions {
    input?: unknown;
    instanceId?: string;
    version?: string;
    tags?: Record<string, string>;
    /** When it starts; 2026-01-01 if it is not said. */
    start?: Date | string;
    /** Activities in place of the app's own. */
    activities?: Record<string, (input: any, info: { attempt: number; idempotencyKey: string }) => unknown>;
    /** Sub-orchestrations in place of the app's own. */
    orchestrators?: Record<string, (input: any) => unknown>;
    /** Answers HTTP calls: `callHttp` gives what it returns. A status of 400 and above is tried again if there is a retry policy. */
    http?: (request: { method: string; url: string; headers: Record<string, string>; body: string | null }) => HttpAnswer | Promise<HttpAnswer>;
    /** Events that are raised from outside. */
    events?: SimulatedEvent[];
    /** The same for sub-orchestrations, by their instance ids. */
    childEvents?: Record<string, SimulatedEvent[]>;
    /** After so many executions continue-as-new ends the run; 100 if it is not said. */
    maxExecutions?: number;
    /** The durable client that activities get. */
    client?: object;
}

export interface OrchestrationTestResult {
    runtimeStatus: "Completed" | "Failed" | "ContinuedAsNew";
    output: any;
    /** What it threw. */
    error?: any;
    failure?: { errorType: string; message: string; nonRetriable: boolean; causes: { errorType: string; message: string }[] };
    customStatus: any;
    /** What was called, in order. */
    calls: { kind: "activity" | "orchestrator" | "start" | "http"; name: string; input: any }[];
    logs: { level: string; message: string }[];
    /** Events that it sent. */
    sent: { instanceId: string; name: string; data: any }[];
    /** The simulated time at the end. */
    now: Date;
    executions: number;
}

/** An orchestrator did something else when it ran again on what was recorded; the message says which call. */
export class NonDeterminismError extends Error {}

/**
 * Runs an orchestrator to its end in simulated time. Each execution runs twice, the second time on what the first one
 * recorded: one that is not deterministic rejects with a `NonDeterminismError`.
 */
export function runOrchestration(name: string, options?: OrchestrationTestOptions): Promise<OrchestrationTestResult>;

/** Runs an activity; gives its result or throws what it threw. */
export function runActivity(
    name: string,
    input?: unknown,
    options?: { attempt?: number; idempotencyKey?: string; lastHeartbeat?: unknown; cancelled?: boolean; client?: object },
): Promise<any>;

/** Calls an HTTP function. */
export function callHttp(
    name: string,
    request?: ConstructorParameters<typeof HttpRequest>[0],
    options?: { client?: object },
): Promise<{ status: number; headers: Record<string, string>; text: string; json(): any }>;

/** Runs a manual or timer function. */
export function runTrigger(name: string, input?: unknown, options?: { client?: object }): Promise<any>;
