// Requests and responses of HTTP functions, in the shapes of @azure/functions.

import { decodeText, encodeText } from "./text.js";

/** Names and values in order; names of headers are compared ignoring case. */
class Pairs {
    constructor(init, fold) {
        this.fold = fold;
        this.pairs = [];
        const entries = init && typeof init[Symbol.iterator] === "function" ? init : Object.entries(init ?? {});
        for (const [name, value] of entries) {
            this.append(name, value);
        }
    }

    append(name, value) {
        this.pairs.push([this.fold(String(name)), String(value)]);
    }

    set(name, value) {
        this.delete(name);
        this.append(name, value);
    }

    delete(name) {
        this.pairs = this.pairs.filter(([other]) => other !== this.fold(name));
    }

    has(name) {
        return this.pairs.some(([other]) => other === this.fold(name));
    }

    getAll(name) {
        return this.pairs.filter(([other]) => other === this.fold(name)).map(([, value]) => value);
    }

    entries() {
        return this.pairs.map(([name, value]) => [name, value])[Symbol.iterator]();
    }

    keys() {
        return this.pairs.map(([name]) => name)[Symbol.iterator]();
    }

    values() {
        return this.pairs.map(([, value]) => value)[Symbol.iterator]();
    }

    forEach(callback) {
        this.pairs.forEach(([name, value]) => callback(value, name, this));
    }

    [Symbol.iterator]() {
        return this.entries();
    }
}

/** Headers. Values under one name are joined by a comma. */
export class Headers extends Pairs {
    constructor(init) {
        super(init, (name) => name.toLowerCase());
    }

    get(name) {
        const values = this.getAll(name);
        return values.length > 0 ? values.join(", ") : null;
    }

    getSetCookie() {
        return this.getAll("set-cookie");
    }
}

/** The query of a request: what of URLSearchParams is for reading, and some of what is for writing. */
export class Query extends Pairs {
    constructor(init) {
        super(init, (name) => name);
    }

    get(name) {
        return this.getAll(name)[0] ?? null;
    }

    get size() {
        return this.pairs.length;
    }

    toString() {
        return this.pairs.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
    }
}

/** Bytes of what can be a body. */
function bytesOf(body) {
    if (body === undefined || body === null) {
        return new Uint8Array();
    }
    if (typeof body === "string") {
        return encodeText(body);
    }
    if (body instanceof ArrayBuffer) {
        return new Uint8Array(body);
    }
    if (ArrayBuffer.isView(body)) {
        return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
    }
    throw new TypeError("a body is a string, an ArrayBuffer or a view of one; for JSON use jsonBody");
}

class Message {
    #body;

    constructor(body) {
        this.#body = body;
        this.bodyUsed = false;
    }

    async bytes() {
        this.bodyUsed = true;
        return this.#body;
    }

    async arrayBuffer() {
        return (await this.bytes()).slice().buffer;
    }

    async text() {
        return decodeText(await this.bytes());
    }

    async json() {
        return JSON.parse(await this.text());
    }
}

/** A request. Made by the host, or in tests with `{method, url, headers, query, params, body: {string} | {bytes}}`. */
export class HttpRequest extends Message {
    constructor(init) {
        super(bytesOf(init.body?.string ?? init.body?.bytes ?? init.body));
        this.method = init.method ?? "GET";
        this.url = init.url ?? "http://localhost/";
        this.headers = new Headers(init.headers);
        this.query = new Query(init.query);
        this.params = { ...init.params };
        this.user = null;
    }
}

/** A response. */
export class HttpResponse extends Message {
    constructor(init = {}) {
        const isJson = init.jsonBody !== undefined;
        const body = isJson ? encodeText(JSON.stringify(init.jsonBody)) : bytesOf(init.body);
        super(body);
        this.status = Number(init.status ?? 200);
        this.headers = new Headers(init.headers);
        this.content = body;
        if (isJson && !this.headers.has("content-type")) {
            this.headers.set("content-type", "application/json");
        }
        if (typeof init.body === "string" && !isJson && !this.headers.has("content-type")) {
            this.headers.set("content-type", "text/plain; charset=utf-8");
        }
    }
}

/** The response that a handler's result stands for: nothing is 204. */
export function toResponse(result) {
    if (result instanceof HttpResponse) {
        return result;
    }
    if (result === undefined || result === null) {
        return new HttpResponse({ status: 204 });
    }
    if (typeof result !== "object") {
        throw new TypeError(`an HTTP function returns an HttpResponse or an object with status, body, jsonBody, headers; it returned a ${typeof result}`);
    }
    return new HttpResponse(result);
}
