// Finds the modules of an app.

import { glob } from "./glob.mjs";
import { readFile, readdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { Problem } from "./problem.mjs";

const EXTENSIONS = [".ts", ".mts", ".js", ".mjs", ".cjs"];
/** Where functions are looked for when package.json does not say. */
const USUAL = ["src/functions/*", "src/index", "index", "src/app", "app"];
const IGNORED = /^(node_modules|target|dist|test|tests)$|^\./;

/** `modules`: files that register functions; `folders`: those with a function.json. Paths are relative to the app. */
export async function findFunctions(app, manifest) {
    const folders = await functionFolders(app);
    const modules = await functionModules(app, manifest, folders.length > 0);
    if (folders.length + modules.length === 0) {
        throw new Problem(
            "no functions found: name the modules that declare them as \"main\" in package.json (for example \"src/functions/*.js\"), " +
                "or give each function a folder with a function.json and an index.js",
        );
    }
    return { modules, folders };
}

async function functionModules(app, manifest, hasFolders) {
    const main = manifest.durawasm?.main ?? manifest.main;
    if (typeof main !== "string" || main === "") {
        const patterns = hasFolders ? ["src/functions/*"] : USUAL;
        for (const pattern of patterns) {
            const found = await sources(app, pattern);
            if (found.length > 0) {
                return found;
            }
        }
        return [];
    }
    // The original's TypeScript template names what its compiler writes; we want what the author writes.
    const compiled = main.replace(/^(\.\/)?(dist|build|lib|out)\//, "");
    for (const pattern of [main, compiled, `src/${compiled}`]) {
        const found = await sources(app, pattern.replace(/^\.\//, "").replace(/\.(js|cjs|mjs)$/, ""));
        if (found.length > 0) {
            return found;
        }
    }
    if (hasFolders) {
        return [];
    }
    throw new Problem(`package.json: there is no module for "main": ${JSON.stringify(main)}`);
}

/** Source files for a pattern without extension, sorted; one of each name. */
async function sources(app, pattern) {
    const files = await glob(app, pattern);
    const byName = new Map();
    for (const file of files) {
        const extension = EXTENSIONS.find((each) => file.endsWith(each));
        if (!extension || /\.(test|spec)\.[a-z]+$|\.d\.[a-z]+$/.test(file)) {
            continue;
        }
        const name = file.slice(0, -extension.length);
        if (!byName.has(name)) {
            byName.set(name, file);
        }
    }
    return [...byName.values()].sort();
}

async function functionFolders(app) {
    const entries = await readdir(app, { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory() && !IGNORED.test(entry.name)).map((entry) => entry.name);
    const folders = [];
    for (const name of names.sort()) {
        const file = join(app, name, "function.json");
        if (existsSync(file)) {
            folders.push(await folder(app, name, await readFile(file, "utf8")));
        }
    }
    return folders;
}

async function folder(app, name, text) {
    let definition;
    try {
        definition = JSON.parse(text);
    } catch (error) {
        throw new Problem(`${name}/function.json: ${error.message}`);
    }
    const script = definition.scriptFile;
    const candidates = script
        ? [posix.normalize(posix.join(name, script)), `${name}/${posix.basename(script).replace(/\.[a-z]+$/, "")}.ts`]
        : EXTENSIONS.flatMap((extension) => [`${name}/index${extension}`, `${name}/${name}${extension}`]);
    const module = candidates.find((candidate) => !candidate.startsWith("../dist") && existsSync(join(app, candidate)));
    if (!module) {
        throw new Problem(`${name}/function.json: there is no module beside it; looked for ${candidates.slice(0, 4).join(", ")}`);
    }
    return { name, definition, module };
}
