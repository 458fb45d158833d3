/** Something that the author of an app can mend. */
export class Problem extends Error {}
