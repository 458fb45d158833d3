// Makes a component of a module.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Problem } from "./problem.mjs";

/** The bytes of the component. */
export async function componentize({ module, wit, engine }) {
    const folder = await mkdtemp(join(tmpdir(), "durawasm-js-"));
    try {
        const source = join(folder, "app.js");
        await writeFile(source, module.text);
        return await (engine === "quickjs" ? quickjs : starlingmonkey)({ source, wit, folder });
    } catch (error) {
        throw new Problem(explain(String(error?.message ?? error), module.lines));
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
}

async function starlingmonkey({ source, wit }) {
    const { componentize } = await import("@bytecodealliance/componentize-js");
    // Without http and fetch-event: they would import wasi:http, which this host does not offer.
    const { component } = await componentize({ sourcePath: source, witPath: wit, worldName: "starlingmonkey", disableFeatures: ["http", "fetch-event"] });
    return component;
}

async function quickjs({ source, wit }) {
    const { componentize } = await import("componentize-qjs");
    // The runtime without the component model's async: it parses everywhere and calls cost less.
    const { component } = await componentize({ witPath: wit, jsPath: source, jsSource: await readFile(source, "utf8"), world: "quickjs", sync: true });
    return component;
}

/** What the tools put before an error's own text. */
const PREFIX = /^durawasm\/src\/\S+:\d+\s+|^:?\s*(Failed to [a-z ]+(JavaScript|JS)[a-zA-Z ]*:\s*)+/;

/** Lines of the tools that tell an author nothing, and those of the SDK's own code. */
const NOISE = /^(at [^(]*\(durawasm\/src\/|[^\s(]*@durawasm\/src\/|Failed to initialize component|Exception while evaluating|Additionally, some promises|Promise rejected but never|Stack:$)/;

/** What went wrong when the module's top level ran, with the author's files and lines. */
function explain(message, { sources, table }) {
    const mapped = message.replace(/[^\s(@]*\bapp\.js:(\d+)(:\d+)?/g, (whole, line) => {
        const place = table[Number(line) - 1];
        return place ? `${sources[place[0]]}:${place[1]}` : whole;
    });
    const lines = mapped.split("\n").map((line) => line.replace(PREFIX, "")).filter((line) => !NOISE.test(line.trim()));
    return `the app's modules could not be loaded (their top level runs when the app is built):\n${lines.join("\n").trim()}`;
}
