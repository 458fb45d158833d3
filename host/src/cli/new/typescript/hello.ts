// Greets some cities, one after the other.

import * as df from "durawasm";

df.app.orchestration("HelloSequence", function* (context: df.OrchestrationContext) {
    const greetings: string[] = [];
    for (const city of ["Tokyo", "Seattle", "London"]) {
        greetings.push(yield context.df.callActivity("SayHello", city));
    }
    return greetings;
});

df.app.activity("SayHello", { handler: (city: string) => `Hello ${city}!` });

df.app.client.http("HttpStart", {
    route: "orchestrators/{name}",
    methods: ["POST"],
    handler: async (request, client) => {
        const id = await client.startNew(request.params.name);
        return client.createCheckStatusResponse(request, id);
    },
});
