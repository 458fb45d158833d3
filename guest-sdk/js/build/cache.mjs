// Components that were built before. The tools write other bytes for the same module each time; an unchanged app must
// stay the version that it was.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Components kept. */
const KEPT = 50;

/** The path of the component for these texts; made when there is none. */
export async function cached(folder, texts, make) {
    await mkdir(folder, { recursive: true });
    const hash = createHash("sha256");
    texts.forEach((text) => hash.update(`${text.length}\n${text}`));
    const path = join(folder, `${hash.digest("hex").slice(0, 32)}.wasm`);
    if (existsSync(path)) {
        const now = new Date();
        await utimes(path, now, now);
        return path;
    }
    const component = await make();
    const unfinished = `${path}.${process.pid}`;
    await writeFile(unfinished, component);
    await rename(unfinished, path);
    await removeOld(folder);
    return path;
}

async function removeOld(folder) {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".wasm"));
    const aged = await Promise.all(names.map(async (name) => ({ name, time: (await stat(join(folder, name))).mtimeMs })));
    const old = aged.sort((one, other) => other.time - one.time).slice(KEPT);
    await Promise.all(old.map(({ name }) => rm(join(folder, name), { force: true })));
}
