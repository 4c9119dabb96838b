/** Files of this package. This file lies directly in src/, as its built form does in dist/. */

/** A fixture's file, e.g. `longbench/qasper.jsonl`. */
export const fixtureFile = (name: string): URL => new URL(`../fixtures/${name}`, import.meta.url);
