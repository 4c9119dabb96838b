/**
 * The order of a head's rows. Hugging Face pairs element i with i + d/2 (rotate-half); GGUF files of the families
 * below pair neighbours instead, and hold the rows of q and k reordered accordingly.
 */
import type { Architecture, ModelConfig } from "../config/model-config.ts";

const neighbours: readonly Architecture[] = ["llama", "minicpm"];

export function isReordered(config: ModelConfig, hfName: string): boolean {
  return neighbours.includes(config.architecture) && /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(hfName);
}

/** Row of a GGUF file that holds row `row` of Hugging Face's order. */
export function ggufRow(row: number, headDim: number): number {
  const within = row % headDim;
  const half = headDim / 2;
  return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

/** Row of Hugging Face's order that a GGUF file holds as row `row`. */
export function hfRow(row: number, headDim: number): number {
  const within = row % headDim;
  return row - within + (within % 2 === 0 ? within / 2 : headDim / 2 + (within - 1) / 2);
}

/** Moves items of `itemBytes` so that item r of the result is item `source(first + r) − first` of the input. */
export function reorder(data: Uint8Array, itemBytes: number, first: number, source: (row: number) => number): Uint8Array {
  const result = new Uint8Array(data.length);
  for (let item = 0; item * itemBytes < data.length; item++) {
    const from = (source(first + item) - first) * itemBytes;
    result.set(data.subarray(from, from + itemBytes), item * itemBytes);
  }
  return result;
}
