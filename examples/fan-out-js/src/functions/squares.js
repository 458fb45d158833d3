import * as df from "durawasm";

/** The sum of the squares of 1 to n: all activities run at the same time. */
df.app.orchestration("JS2_FanOut", function* (context) {
    const calls = [];
    for (let i = 1; i <= context.df.getInput(); i += 1) {
        calls.push(context.df.callActivity("JS2_Square", i));
    }
    const squares = yield context.df.Task.all(calls);
    return squares.reduce((sum, square) => sum + square, 0);
});

df.app.activity("JS2_Square", { handler: (n) => n * n });
