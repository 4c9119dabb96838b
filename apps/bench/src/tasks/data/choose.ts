import { distinctBelow, randomFor } from "../synthetic/draw.ts";

/** Which rows of a data set to use when fewer than all are wanted: a random choice of the seed, in the data's order. */
export function chooseRows(name: string, total: number, count: number, seed: number): number[] {
  if (count >= total) return Array.from({ length: total }, (_, index) => index);
  return distinctBelow(randomFor(seed, name, "rows"), total, count).sort((a, b) => a - b);
}
