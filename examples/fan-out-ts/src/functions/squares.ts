import * as df from "durawasm";
import type { ActivityHandler, OrchestrationContext } from "durawasm";

/** The sum of the squares of 1 to n: all activities run at the same time. */
df.app.orchestration("TS2_FanOut", async (context: OrchestrationContext) => {
    const n = context.df.getInput<number>();
    const calls = Array.from({ length: n }, (_, i) => context.df.callActivity<number>("TS2_Square", i + 1));
    const squares: number[] = await context.df.Task.all(calls);
    return squares.reduce((sum, square) => sum + square, 0);
});

const square: ActivityHandler = (n: number) => n * n;

df.app.activity("TS2_Square", { handler: square });
