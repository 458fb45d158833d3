import * as df from "durawasm";
import type { OrchestrationContext } from "durawasm";

df.app.orchestration("TS1_HelloSequence", function* (context: OrchestrationContext) {
    const greetings: string[] = [];
    for (const city of ["Tokyo", "Seattle", "London"]) {
        greetings.push(yield context.df.callActivity("TS1_SayHello", city));
    }
    return greetings;
});

df.app.activity("TS1_SayHello", { handler: (city: string) => `Hello ${city}!` });
