// What the module that the build writes needs.

export { setFacts } from "./component.js";
export { registerFolder } from "./legacy.js";
