const df = require("durable-functions");

df.app.orchestration("JS1_HelloSequence", function* (context) {
    const greetings = [];
    for (const city of ["Tokyo", "Seattle", "London"]) {
        greetings.push(yield context.df.callActivity("JS1_SayHello", city));
    }
    return greetings;
});

df.app.activity("JS1_SayHello", {
    handler: (city) => `Hello ${city}!`,
});
