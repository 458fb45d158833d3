import * as df from "durawasm";

interface Request {
    what: string;
    /** How long the person has. */
    seconds: number;
}

type Outcome = "approved" | "rejected" | "expired";

df.app.orchestration("TS3_Approval", function* (context): Generator<df.Task, Outcome, any> {
    const request = context.df.getInput<Request>();
    yield context.df.callActivity("TS3_Ask", request.what);
    context.df.setCustomStatus("waiting for the event Approval");
    const approval = context.df.waitForExternalEvent<boolean>("Approval");
    const deadline = new Date(context.df.currentUtcDateTime.getTime() + request.seconds * 1000);
    const timer = context.df.createTimer(deadline);
    const winner = yield context.df.Task.any([approval, timer]);
    context.df.setCustomStatus(null);
    if (winner === timer) {
        return "expired";
    }
    timer.cancel();
    return approval.result ? "approved" : "rejected";
});

df.app.activity("TS3_Ask", {
    handler: (what: string, context) => context.info(`please decide about "${what}": instance ${context.activity.instanceId}`),
});

/** Every night at three (UTC): what was decided more than a week ago goes. */
df.app.client.timer("TS3_CleanUp", {
    schedule: "0 0 3 * * *",
    handler: async (timer, client, context) => {
        const createdTimeTo = new Date(Date.now() - 7 * 86_400_000);
        const { instancesDeleted } = await client.purgeInstanceHistoryBy({ createdTimeTo, runtimeStatus: ["Completed"] });
        context.log(`removed ${instancesDeleted}${timer.isPastDue ? ", late" : ""}`);
    },
});
