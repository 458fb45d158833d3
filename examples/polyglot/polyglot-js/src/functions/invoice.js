import * as df from "durawasm";

// JavaScript calls Rust.
df.app.orchestration("PG_Invoice", async (context) => {
    const { customer, cents } = context.df.getInput();
    const total = await context.df.callActivity("PG_Sum", cents);
    const text = `${customer} owes ${(total / 100).toFixed(2)}`;
    return { text, digest: await context.df.callActivity("PG_Digest", text) };
});

// JavaScript calls Python.
df.app.orchestration("PG_Forecast", function* (context) {
    const { mean, median } = yield context.df.callActivity("PG_Statistics", context.df.getInput());
    return mean > median ? "a few large orders" : "many orders alike";
});

df.app.activity("PG_Salutation", { handler: (name) => `Dear ${name},` });
