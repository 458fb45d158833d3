// Makes one module of an app and the SDK.

import { SourceMap } from "node:module";
import { isAbsolute, join, relative } from "node:path";
import * as esbuild from "esbuild";
import { Problem } from "./problem.mjs";

/** Names that mean the SDK. */
const SDK = /^(durawasm|durable-functions|@azure\/functions)$/;

/** The text of the module, and of the map to the author's files. */
export async function bundle({ app, sdk, engine, functions, facts }) {
    const entry = entryText(functions, facts);
    const result = await esbuild
        .build({
            stdin: { contents: entry, resolveDir: app, sourcefile: "durawasm-entry.js", loader: "js" },
            absWorkingDir: app,
            bundle: true,
            write: false,
            format: "esm",
            platform: "neutral",
            mainFields: ["module", "main"],
            conditions: ["import", "module", "default"],
            target: "esnext",
            // QuickJS cannot run its queue of promises inside a call: see engines/promise.js.
            supported: engine === "quickjs" ? { "async-await": false, "async-generator": false, "for-await": false } : { "top-level-await": false },
            external: ["durable:*", "wasi:*"],
            define: { "process.env.NODE_ENV": '"production"' },
            sourcemap: "external",
            sourcesContent: false,
            outfile: join(app, "app.js"),
            keepNames: false,
            logLevel: "silent",
            plugins: [sdkPlugin(sdk, engine)],
        })
        .catch(async (error) => {
            throw await described(error, { app, sdk });
        });
    const text = (suffix) => result.outputFiles.find((file) => file.path.endsWith(suffix)).text;
    const lines = lineTable(text("app.js"), JSON.parse(text("app.js.map")), { app, sdk });
    return { text: `${text("app.js")}\nglobalThis.__durawasm_lines = ${JSON.stringify(lines)};\n`, lines };
}

function entryText({ modules, folders }, facts) {
    const path = (file) => JSON.stringify(`./${file}`);
    return [
        'import "durawasm:engine";',
        'import { registerFolder, setFacts } from "durawasm:build";',
        ...modules.map((file) => `import ${path(file)};`),
        ...folders.map(({ module }, index) => `import * as folder${index} from ${path(module)};`),
        ...folders.map(({ name, definition }, index) => `registerFolder(${JSON.stringify(name)}, ${JSON.stringify(definition)}, folder${index});`),
        `setFacts(${JSON.stringify(facts.sdk)}, ${JSON.stringify(facts.version)});`,
        'export { describe, orchestrator, activity, httpFunction, trigger } from "durawasm:component";',
    ].join("\n");
}

function sdkPlugin(sdk, engine) {
    const files = { engine: `engines/${engine}.js`, component: "component.js", build: "build.js" };
    return {
        name: "durawasm",
        setup(build) {
            build.onResolve({ filter: SDK }, () => ({ path: join(sdk, "src/index.js") }));
            build.onResolve({ filter: /^durawasm:/ }, ({ path }) => ({ path: join(sdk, "src", files[path.slice("durawasm:".length)]) }));
            // Says what to do instead of only that a module is missing.
            build.onResolve({ filter: /^(node:.+|assert|buffer|child_process|crypto|events|fs|http|https|net|os|path|process|stream|url|util|worker_threads)$/ }, async (args) => {
                const own = args.pluginData?.second ? undefined : await build.resolve(args.path, { importer: args.importer, kind: args.kind, resolveDir: args.resolveDir, pluginData: { second: true } });
                if (args.pluginData?.second || own.errors.length === 0) {
                    return args.pluginData?.second ? undefined : own;
                }
                return { errors: [{ text: `"${args.path}" belongs to Node.js, which functions do not run in`, notes: [{ text: "use what the language and the SDK offer: crypto.randomUUID(), setTimeout, URL; or a package that needs nothing of Node.js" }] }] };
            });
        },
    };
}

/** The messages of the bundler: the author's files and lines. */
async function described(error, { app, sdk }) {
    if (!Array.isArray(error.errors) || error.errors.length === 0) {
        return error;
    }
    const inSdk = relative(app, join(sdk, "src/index.js"));
    const told = error.errors.map((each) => {
        const missing = /^Could not resolve "([^"./][^"]*)"$/.exec(each.text);
        // The bundler's own advice is for other programs than this.
        const notes = missing ? [{ text: `Install it in the app's folder: npm install ${packageOf(missing[1])}` }] : each.notes;
        return { ...each, text: each.text.replaceAll(inSdk, "durawasm"), notes };
    });
    const messages = await esbuild.formatMessages(told, { kind: "error", color: process.env.DURAWASM_COLOR === "1" });
    return new Problem(messages.join("").trimEnd());
}

/** The package that a module is in: `@owner/name/part` is in `@owner/name`. */
function packageOf(path) {
    return path.split("/").slice(0, path.startsWith("@") ? 2 : 1).join("/");
}

/** For each line of the module, where it comes from: `[index into sources, line]`, or 0 for no place. */
function lineTable(text, map, { app, sdk }) {
    const known = new SourceMap(map);
    const sources = [];
    const named = (file) => {
        const name = display(file, app, sdk);
        const index = sources.indexOf(name);
        return index >= 0 ? index : sources.push(name) - 1;
    };
    const table = text.split("\n").map((line, index) => {
        const entry = known.findEntry(index, Math.max(0, line.length - 1));
        const isHere = entry.originalSource !== undefined && entry.generatedLine === index;
        return isHere ? [named(entry.originalSource), entry.originalLine + 1] : 0;
    });
    return { sources, table };
}

function display(file, app, sdk) {
    const path = isAbsolute(file) ? file : join(app, file);
    const inSdk = relative(sdk, path);
    return (inSdk.startsWith("..") ? relative(app, path) : `durawasm/${inSdk}`).replaceAll("\\", "/");
}
