// Failures and retries.

import * as df from "durable-functions";

class AmountError extends RangeError {}

df.app.orchestration("Fails", function* () {
    throw new AmountError("the amount is not a number", { cause: new TypeError("seven") });
});

df.app.orchestration("ActivityFails", function* (context) {
    return yield context.df.callActivity("Fail", context.df.getInput());
});

df.app.orchestration("Catches", function* (context) {
    try {
        yield context.df.callActivity("Fail", true);
    } catch (error) {
        const { errorType, errorMessage, isNonRetriable, properties, innerFailure } = error.failureDetails;
        const causes = [];
        for (let cause = innerFailure; cause; cause = cause.innerFailure) {
            causes.push(cause.errorMessage);
        }
        return { causes, errorType, message: errorMessage, nonRetriable: isNonRetriable, properties: JSON.stringify(properties) };
    }
    return "it did not fail";
});

df.app.orchestration("ChildFails", function* (context) {
    return yield context.df.callSubOrchestrator("ActivityFails");
});

df.app.orchestration("JoinFailing", async (context) => {
    const calls = Array.from({ length: context.df.getInput() }, (_, i) => context.df.callActivity(i % 2 === 0 ? "Fail" : "Echo"));
    const ended = await Promise.allSettled(calls);
    return ended.filter(({ status }) => status === "rejected").length;
});

df.app.orchestration("ActivityTimesOut", function* (context) {
    const [millis, limit] = context.df.getInput();
    return yield context.df.callActivity("Sleep", millis, { timeoutInMilliseconds: limit });
});

df.app.orchestration("Retry", function* (context) {
    const { k, max_attempts: attempts, first_millis: first = 10, backoff = 1 } = context.df.getInput();
    const policy = new df.RetryOptions(first, attempts);
    policy.backoffCoefficient = backoff;
    return yield context.df.callActivityWithRetry("FailUntil", policy, k);
});

df.app.orchestration("ResumesHalfway", function* (context) {
    return yield context.df.callActivityWithRetry("Resumes", new df.RetryOptions(10, 2), context.df.getInput());
});

/** Attempts that the code decides about: single calls in a loop. */
df.app.orchestration("RetryPredicate", function* (context) {
    const allowed = context.df.getInput();
    for (let asked = 1; ; asked += 1) {
        try {
            yield context.df.callActivity("Fail");
        } catch (error) {
            if (error.failureDetails.errorType !== "DiskError" || asked > allowed) {
                return asked;
            }
        }
        yield context.df.createTimer(new Date(context.df.currentUtcDateTime.getTime() + 5));
    }
});

df.app.orchestration("Stalls", async () => new Promise(() => {}));

df.app.orchestration("YieldsNonsense", function* () {
    yield 5;
});

df.app.orchestration("UnknownActivity", function* (context) {
    return yield context.df.callActivity("NobodyDeclaresThis");
});
