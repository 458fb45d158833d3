// The activities of `flow`.

import * as df from "durable-functions";

class DiskError extends Error {}
class NotYet extends Error {}
class Broken extends Error {}

df.app.activity("Echo", { handler: (value) => value });

df.app.activity("Square", { handler: (n) => n * n });

df.app.activity("Fail", {
    handler: (nonRetriable) => {
        const cause = new DiskError("cannot write the file", { cause: new DiskError("no space left") });
        const error = new DiskError("cannot save the order", { cause });
        throw Object.assign(error, { properties: { order: 7 }, nonRetriable: nonRetriable === true });
    },
});

df.app.activity("FailUntil", {
    handler: (k, { activity }) => {
        if (activity.attempt < k) {
            throw new NotYet(`attempt ${activity.attempt} of ${k}`);
        }
        return activity.attempt;
    },
});

df.app.activity("Sleep", {
    handler: async (millis) => {
        await new Promise((resolve) => setTimeout(resolve, millis));
        return millis;
    },
});

df.app.activity("Heartbeats", {
    handler: async ({ times, every_millis: every }, { activity }) => {
        for (let sent = 1; sent <= times; sent += 1) {
            if (activity.heartbeat(sent)) {
                return sent;
            }
            await new Promise((resolve) => setTimeout(resolve, every));
        }
        return times;
    },
});

df.app.activity("Repaired", {
    handler: (rewinds, { activity }) => {
        const [execution] = activity.idempotencyKey.split(":");
        const rewound = Number(execution.split("-")[1] ?? 0);
        if (rewound < rewinds) {
            throw new Broken(`broken until rewind ${rewinds}`);
        }
        return { repaired: rewound };
    },
});

df.app.activity("Resumes", {
    handler: (half, { activity }) => {
        if (activity.lastHeartbeat !== null) {
            return { attempt: activity.attempt, from: activity.lastHeartbeat };
        }
        for (let done = 1; done <= half; done += 1) {
            activity.heartbeat(done);
        }
        throw new Error("halfway");
    },
});

df.app.activity("LogLine", {
    handler: (line, context) => {
        context.info(line);
        console.log("stdout: %s", line);
        console.error("stderr: %s", line);
    },
});
