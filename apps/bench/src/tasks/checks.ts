/** Checks of options that tasks share. */
import { ConfigError, ShapeError } from "@infllm/tensor";
import type { PromptStyle, Task, TaskOptions } from "./task.ts";

type Named = Pick<Task, "name">;

/** The length asked for. @throws ShapeError when the model cannot hold it */
export function checkedLength({ name }: Named, { length, contextLength }: Pick<TaskOptions, "length" | "contextLength">): number {
  const wanted = length ?? contextLength;
  if (!Number.isInteger(wanted) || wanted <= 0) throw new ShapeError(`${name} was given a length of ${wanted}; a length is a positive number of tokens.`);
  if (wanted > contextLength) {
    throw new ShapeError(`${name} was asked for ${wanted} tokens, but the model holds ${contextLength}. Give at most that, or a model with a longer context.`);
  }
  return wanted;
}

/** @throws ConfigError when the task lacks the style */
export function requireStyle({ name, styles }: Pick<Task, "name" | "styles">, style: PromptStyle = "benchmark"): void {
  if (styles.includes(style)) return;
  throw new ConfigError(`${name} has no wording "${style}": the embedded model was not trained on this kind of task. It has ${styles.join(", ")}.`);
}

/** @throws RangeError */
export function requireIndex({ name }: Named, index: number, count: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= count) throw new RangeError(`${name} has samples 0 to ${count - 1}, not ${index}.`);
}

/** Tokens that an answer may have, at most `most`. @throws ShapeError when the prompt leaves none */
export function roomForAnswer({ name }: Named, id: string, promptTokens: number, length: number, most: number): number {
  if (promptTokens >= length) {
    throw new ShapeError(`${name} ${id} has ${promptTokens} tokens, which leave no room for an answer within ${length}. Give a larger length.`);
  }
  return Math.min(most, length - promptTokens);
}
