/** Log-likelihoods of the tokens of a text, and the key tokens that LongPPL counts. */
import type { Model } from "@infllm/model";
import { keyTokens, shortWindows } from "../tasks/perplexity/longppl.ts";

/** ln p of every token given all before it, `[length]`; NaN for the first, which nothing predicts. */
export async function likelihoods(model: Model, ids: readonly number[], signal: AbortSignal): Promise<Float64Array> {
  const { logProbs, positions } = await model.score(ids, { signal });
  const all = new Float64Array(ids.length).fill(Number.NaN);
  positions.forEach((position, index) => {
    if (position + 1 < ids.length) all[position + 1] = logProbs[index] ?? Number.NaN;
  });
  return all;
}

/** The text's key tokens as the evaluator finds them: predictable only with what stands further back than `short` tokens. */
export async function findKeyTokens(evaluator: Model, ids: readonly number[], short: number, signal: AbortSignal): Promise<number[]> {
  const long = await likelihoods(evaluator, ids, signal);
  const near = new Float64Array(ids.length).fill(Number.NaN);
  for (const { start, from, to } of shortWindows(ids.length, short, Math.max(1, Math.floor(short / 4)))) {
    const positions = Array.from({ length: to - from }, (_, i) => from - start - 1 + i);
    const { logProbs } = await evaluator.score(ids.slice(start, to), { positions, signal });
    logProbs.forEach((value, index) => (near[from + index] = value));
  }
  return keyTokens(long, near);
}
