// UTF-8. QuickJS has no TextEncoder.

const [encoder, decoder] =
    typeof globalThis.TextEncoder === "function" ? [new globalThis.TextEncoder(), new globalThis.TextDecoder()] : [null, null];

/** The bytes of a text; lone surrogates become U+FFFD. */
export function encodeText(text) {
    return encoder ? encoder.encode(text) : encodeByHand(text);
}

export function encodeByHand(text) {
    const bytes = [];
    for (const character of String(text)) {
        let code = character.codePointAt(0);
        if (code >= 0xd800 && code <= 0xdfff) {
            code = 0xfffd;
        }
        if (code < 0x80) {
            bytes.push(code);
        } else if (code < 0x800) {
            bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
        } else if (code < 0x10000) {
            bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
        } else {
            bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
        }
    }
    return Uint8Array.from(bytes);
}

/** The text of bytes; what is no UTF-8 becomes U+FFFD. */
export function decodeText(bytes) {
    return decoder ? decoder.decode(bytes) : decodeByHand(bytes);
}

export function decodeByHand(bytes) {
    const parts = [];
    let part = "";
    for (let at = 0; at < bytes.length; ) {
        const [code, length] = character(bytes, at);
        part += String.fromCodePoint(code);
        at += length;
        if (part.length > 4096) {
            parts.push(part);
            part = "";
        }
    }
    const text = parts.join("") + part;
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** The code point at a place and how many bytes it takes. */
export function character(bytes, at) {
    const first = bytes[at];
    if (first < 0x80) {
        return [first, 1];
    }
    const more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xc2 && first < 0xe0 ? 1 : 0;
    let code = first & (0x3f >> more);
    for (let n = 1; n <= more; n += 1) {
        const next = bytes[at + n];
        if (next === undefined || (next & 0xc0) !== 0x80) {
            return [0xfffd, n];
        }
        code = (code << 6) | (next & 63);
    }
    const smallest = [0, 0x80, 0x800, 0x10000][more];
    const valid = more > 0 && code >= smallest && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return valid ? [code, more + 1] : [0xfffd, 1];
}

export class TextEncoder {
    encoding = "utf-8";

    encode(text = "") {
        return encodeText(text);
    }
}

export class TextDecoder {
    encoding = "utf-8";

    constructor(label = "utf-8") {
        if (!/^utf-?8$/i.test(label)) {
            throw new RangeError(`only UTF-8 can be decoded, not ${label}`);
        }
    }

    decode(bytes = new Uint8Array()) {
        return decodeText(ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes));
    }
}
