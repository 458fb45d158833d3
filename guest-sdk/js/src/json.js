// Payloads: JSON text to the host, values to the author.

/** The text of a value; null for what JSON calls `null` and for what it cannot express. */
export function encode(value) {
    const text = JSON.stringify(value);
    return text === undefined || text === "null" ? null : text;
}

/** The value of a text; null if there is none. */
export function decode(text) {
    return text === undefined || text === null ? null : JSON.parse(text);
}
