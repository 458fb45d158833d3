/** So many milliseconds after the orchestrator's time. */
export function after(context, millis) {
    return new Date(context.df.currentUtcDateTime.getTime() + millis);
}

/** A time as Rust's SDK writes it. */
export function micros(time) {
    return time.toISOString().replace("Z", "000Z");
}
