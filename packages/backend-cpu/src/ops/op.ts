import type { Machine } from "../wasm/machine.ts";

/** An op checks its arguments when it is called and returns the work that is left, to be run once or many times. */
export type Op<Args> = (machine: Machine, args: Args) => () => void;

/** Rows that one task of a row-wise op takes, so that each has enough to do (elements) and threads share evenly. */
export function rowsPerTask(rows: number, width: number): number {
  const enough = Math.ceil(16384 / Math.max(width, 1));
  return Math.min(Math.max(enough, 1), Math.max(rows, 1));
}
