// Builds the component of an app: `node build.mjs REQUEST`, a JSON object with `app` and `sdk` (folders), `wit` (a
// folder with the worlds) and `cache` (a folder for components). Prints the component's path. What is wrong with the app
// is told on stderr, with exit code 1.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { bundle } from "./bundle.mjs";
import { cached } from "./cache.mjs";
import { componentize } from "./componentize.mjs";
import { findFunctions } from "./functions.mjs";
import { Problem } from "./problem.mjs";

const ENGINES = ["starlingmonkey", "quickjs"];

async function settings(app) {
    const text = await readFile(join(app, "package.json"), "utf8").catch(() => "{}");
    const manifest = JSON.parse(text);
    const own = manifest.durawasm ?? {};
    const engine = own.engine ?? "starlingmonkey";
    if (!ENGINES.includes(engine)) {
        throw new Problem(`package.json: durawasm.engine is ${JSON.stringify(engine)}; it is one of ${ENGINES.join(", ")}`);
    }
    return { manifest, engine, version: own.version ?? null };
}

async function build({ app, sdk, wit, cache }) {
    const { manifest, engine, version } = await settings(app);
    const functions = await findFunctions(app, manifest);
    const { version: sdkVersion } = JSON.parse(await readFile(join(sdk, "package.json"), "utf8"));
    const facts = { sdk: `durawasm-js ${sdkVersion} (${engine})`, version };
    const module = await bundle({ app, sdk, engine, functions, facts });
    return cached(cache, [sdk, engine, module.text], () => componentize({ module, wit, engine }));
}

try {
    process.stdout.write(`${await build(JSON.parse(process.argv[2]))}\n`);
} catch (error) {
    // What the author can mend is told in his own terms; anything else shows where it comes from.
    process.stderr.write(`${error instanceof Problem ? error.message : (error?.stack ?? error)}\n`);
    process.exitCode = 1;
}
