// The durable client of a function's context.

import { DurableClient } from "./client.js";
import { host } from "./host.js";
import { DurableError } from "./errors.js";

/** What the SDK knows of the contexts it made. */
const known = new WeakMap();

/** Remembers whether a context's function declared the durable client, and which form it is of. */
export function remember(context, facts) {
    known.set(context, facts);
}

/** The durable client. The function must have declared it among its inputs. */
export function getClient(context) {
    const facts = known.get(context);
    if (!facts) {
        throw new DurableError("getClient takes the context of an HTTP, manual or timer function, or of an activity");
    }
    if (!facts.client) {
        throw new DurableError(
            `the function '${facts.name}' has no durable client: declare it with extraInputs: [df.input.durableClient()], ` +
                'or in function.json with {"type": "durableClient", "name": "client", "direction": "in"}',
        );
    }
    // Tests bring their own.
    return host().testClient ?? new DurableClient(facts.legacy);
}
