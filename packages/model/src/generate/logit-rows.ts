import { UsageError } from "@infllm/tensor";
import type { HostArray } from "@infllm/tensor";
import type { Rows } from "../forward/forward.ts";

/** Logits of neighbouring positions. */
export interface LogitRows {
  /** Position of the first row. */
  readonly first: number;
  readonly count: number;
  /** f32 `[count, vocabulary]` */
  readonly logits: Float32Array;
}

/** Rows of logits that are made at a time. */
export const LOGIT_ROWS = 64;

/** Runs of neighbours among ascending positions in `[from, to)`, none longer than `LOGIT_ROWS`. */
export function neighbours(positions: readonly number[], from: number, to: number): Rows[] {
  const found: [number, number][] = [];
  for (const position of positions) {
    if (position < from || position >= to) continue;
    const last = found.at(-1);
    if (last !== undefined && last[1] === position && position - last[0] < LOGIT_ROWS) last[1]++;
    else found.push([position, position + 1]);
  }
  return found;
}

/** @throws UsageError when they are not f32 */
export function asLogits(read: HostArray): Float32Array {
  if (read instanceof Float32Array) return read;
  throw new UsageError("The backend returned logits that are not f32.");
}
