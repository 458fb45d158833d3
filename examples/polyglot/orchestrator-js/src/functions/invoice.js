import * as df from "durawasm";

df.app.orchestration("PG_Invoice", async (context) => {
    const { customer, cents } = context.df.getInput();
    const total = await context.df.callActivity("PG_Sum", cents);
    const text = `${customer} owes ${(total / 100).toFixed(2)}`;
    return { text, digest: await context.df.callActivity("PG_Digest", text) };
});

df.app.activity("PG_Salutation", { handler: (name) => `Dear ${name},` });
