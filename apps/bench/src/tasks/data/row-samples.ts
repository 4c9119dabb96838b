import { ConfigError } from "@infllm/tensor";
import { checkedLength, requireIndex, requireStyle } from "../checks.ts";
import { randomFor, shuffled } from "../synthetic/draw.ts";
import type { DataFile, DataSource, Samples, Task, TaskOptions } from "../task.ts";
import { readData } from "./files.ts";
import { parseJsonLines } from "./row.ts";
import type { Row } from "./row.ts";

/** Rows of a data set, checked, and what `Samples.source` says of them. */
export interface Loaded<R> {
  readonly rows: readonly R[];
  readonly source: string;
}

/**
 * Samples of a data set: all rows, or a random choice of the seed, in the data's order.
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
  const chosen = chooseRows(task.name, rows.length, options).sort((a, b) => a - b);
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

/** Rows of a JSON Lines file. @param parse reads a row's fields, so that bad data is refused before a model runs */
export async function readRows<R>(file: DataFile, from: DataSource | undefined, parse: (row: Row, number: number) => R): Promise<Loaded<R>> {
  const { text, path, source } = await readData(file, from);
  return { rows: parseJsonLines(text, path).map(parse), source };
}

/**
 * Numbers of the rows to use: `count` of a random order from its place `first` on, so that runs can share them.
 * @throws ConfigError when there are no more than `first`
 */
export function chooseRows(name: string, total: number, { first = 0, count, seed }: Pick<TaskOptions, "first" | "count" | "seed">): number[] {
  if (first >= total) throw new ConfigError(`${name}: the first sample is to be number ${first}, but there are ${total}; the last is number ${total - 1}.`);
  const order = shuffled(randomFor(seed, name, "rows"), Array.from({ length: total }, (_, index) => index));
  return order.slice(first, first + count);
}
