import { checkedLength, requireIndex, requireStyle } from "../checks.ts";
import { distinctBelow, randomFor } from "../synthetic/draw.ts";
import type { Samples, Task, TaskOptions } from "../task.ts";

/** Rows of a data set, checked, and what `Samples.source` says of them. */
export interface Loaded<R> {
  readonly rows: readonly R[];
  readonly source: string;
}

/**
 * Samples of a data set: all rows, or a random choice of the seed in the data's order when fewer are wanted.
 * @param load reads the rows, after the options were checked
 * @param sampleOf the sample of a row, which has a number in the data and `length` tokens for prompt and answer
 */
export async function rowSamples<R, S>(
  task: Pick<Task, "name" | "styles">,
  options: TaskOptions,
  load: () => Promise<Loaded<R>>,
  sampleOf: (row: R, number: number, length: number) => S,
): Promise<Samples<S>> {
  const length = checkedLength(task, options);
  requireStyle(task, options.style);
  const { rows, source } = await load();
  const chosen = chooseRows(task.name, rows.length, options.count, options.seed);
  return {
    count: chosen.length,
    source,
    at(index) {
      requireIndex(task, index, chosen.length);
      const number = chosen[index] as number;
      return sampleOf(rows[number] as R, number, length);
    },
  };
}

/** Numbers of the rows to use, ascending. */
export function chooseRows(name: string, total: number, count: number, seed: number): number[] {
  if (count >= total) return Array.from({ length: total }, (_, index) => index);
  return distinctBelow(randomFor(seed, name, "rows"), total, count).sort((a, b) => a - b);
}
