/** Files of this package. This file lies directly in src/, as its built form does in dist/. */

/** The book in which needles hide by default: `data/moby-dick.txt`, some 100,000 tokens that no test model was trained on. */
export const defaultHaystack = new URL("../data/moby-dick.txt", import.meta.url);

/** A fixture's file, e.g. `longbench/qasper.jsonl`. */
export const fixtureFile = (name: string): URL => new URL(`../fixtures/${name}`, import.meta.url);
