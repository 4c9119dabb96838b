import type { SampleArgs } from "@infllm/tensor";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, i32Rows } from "./checks.ts";

/** Logits further below the largest than this many temperatures weigh under 1e-9 and are ranked only when needed. */
const NEAR = 21;

/** One token id a row; see `SampleArgs` for the rule. On the calling thread: it is a pass over one row. */
export function sample(machine: Machine, { logits, settings, out }: SampleArgs): () => void {
  const input = f32Rows(machine, "sample: logits", logits);
  const options = f32Rows(machine, "sample: settings", settings, { rows: input.rows, columns: 4 });
  const to = i32Rows(machine, "sample: out", out, { rows: input.rows, columns: 1 });
  return () => {
    const { f32, i32 } = machine.memory;
    for (let r = 0; r < input.rows; r++) {
      const from = (input.address >>> 2) + r * input.rowStride;
      const setting = (options.address >>> 2) + r * options.rowStride;
      const row = f32.subarray(from, from + input.columns);
      i32[(to.address >>> 2) + r * to.rowStride] = sampleRow(row, f32.subarray(setting, setting + 4));
    }
  };
}

/** `settings`: temperature, topK, topP, uniform. */
export function sampleRow(logits: Float32Array, settings: Float32Array): number {
  const [temperature = 0, topK = 0, topP = 1, uniform = 0] = settings;
  const best = argmax(logits);
  if (best < 0 || temperature === 0) return best;
  const largest = logits[best] as number;
  const weightOf = (id: number): number => {
    const logit = logits[id] as number;
    // The comparison keeps an infinite logit from becoming NaN.
    return logit === largest ? 1 : Math.exp((logit - largest) / temperature);
  };
  const limit = topK > 0 ? Math.min(topK, logits.length) : logits.length;
  for (let near = NEAR; ; near *= 4) {
    const order = ranked(logits, near > 1e6 ? -Infinity : largest - near * temperature).slice(0, limit);
    const complete = order.length === limit;
    if (!complete && limit < logits.length) continue;
    const weights = order.map(weightOf);
    const total = complete ? sum(weights) : logits.reduce((mass, _, id) => mass + weightOf(id), 0);
    const index = draw(weights, total, complete, topP, uniform);
    if (index !== undefined) return order[index] as number;
  }
}

/**
 * The fewest leading weights whose share of `total` reaches topP, then the first of these where the cumulated share
 * exceeds `uniform`. Undefined when that lies past these weights and they are not `complete`.
 */
function draw(weights: readonly number[], total: number, complete: boolean, topP: number, uniform: number): number | undefined {
  let nucleus = 0;
  let mass = 0;
  while (nucleus < weights.length && (nucleus === 0 || mass < topP * total)) mass += weights[nucleus++] as number;
  if (!complete && mass < topP * total) {
    if (topP < 1) return undefined;
    mass = total;
  }
  let reached = 0;
  for (let i = 0; i < nucleus; i++) {
    reached += weights[i] as number;
    if (reached > uniform * mass) return i;
  }
  return complete ? nucleus - 1 : undefined;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Ids of logits at or above `least`, largest first, the lower id first on a tie. */
function ranked(logits: Float32Array, least: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length; id++) if ((logits[id] as number) >= least) ids.push(id);
  return ids.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
}

/** The largest logit, lowest id on a tie; −1 when one is NaN or none is finite. */
function argmax(logits: Float32Array): number {
  let best = -1;
  let largest = -Infinity;
  let finite = false;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit !== logit) return -1;
    if (logit > largest || best < 0) {
      largest = logit;
      best = id;
    }
    if (logit - logit === 0) finite = true;
  }
  return finite ? best : -1;
}
