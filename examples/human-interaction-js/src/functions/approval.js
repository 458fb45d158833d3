import * as df from "durawasm";

df.app.orchestration("JS3_Approval", function* (context) {
    const { what, seconds } = context.df.getInput();
    yield context.df.callActivity("JS3_Ask", what);
    context.df.setCustomStatus("waiting for the event Approval");
    const approval = context.df.waitForExternalEvent("Approval");
    const timer = context.df.createTimer(new Date(context.df.currentUtcDateTime.getTime() + seconds * 1000));
    const winner = yield context.df.Task.any([approval, timer]);
    context.df.setCustomStatus(null);
    if (winner === timer) {
        return "expired";
    }
    timer.cancel();
    return approval.result ? "approved" : "rejected";
});

df.app.activity("JS3_Ask", {
    handler: (what, context) => context.info(`please decide about "${what}": instance ${context.activity.instanceId}`),
});
