// File patterns as package.json's "main" has them: `*` in a name, `**` for folders.

import { readdir } from "node:fs/promises";
import { join } from "node:path";

const escape = (text) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");

/** Files in a folder whose path matches the pattern followed by an extension. Paths have forward slashes. */
export async function glob(root, pattern) {
    const parts = pattern.split("/");
    const found = [];
    await walk(root, "", parts, found);
    return found;
}

async function walk(root, path, parts, found) {
    const [part, ...rest] = parts;
    let entries;
    try {
        entries = await readdir(join(root, path), { withFileTypes: true });
    } catch {
        // A folder that is not there holds no match.
        return;
    }
    const isLast = rest.length === 0;
    const wanted = new RegExp(`^${part.split("*").map(escape).join("[^/]*")}${isLast ? "(\\.[a-z]+)*" : ""}$`);
    if (part === "**") {
        await walk(root, path, rest, found);
    }
    for (const entry of entries) {
        const inner = path === "" ? entry.name : `${path}/${entry.name}`;
        if (entry.isDirectory() && entry.name !== "node_modules" && !entry.name.startsWith(".")) {
            if (part === "**") {
                await walk(root, inner, parts, found);
            } else if (!isLast && wanted.test(entry.name)) {
                await walk(root, inner, rest, found);
            }
        } else if (entry.isFile() && isLast && wanted.test(entry.name)) {
            found.push(inner);
        }
    }
}
