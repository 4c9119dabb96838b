import type { SampleArgs } from "@infllm/tensor";
import { f32Rows, i32Rows } from "./checks.ts";

interface Settings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly uniform: number;
}

interface Candidate {
  readonly id: number;
  readonly weight: number;
}

/** One token id a row; see `SampleArgs` for the rule. */
export function sample({ logits, settings, out }: SampleArgs): () => void {
  const input = f32Rows("sample: logits", logits);
  const options = f32Rows("sample: settings", settings, { rows: input.rows, columns: 4 });
  const to = i32Rows("sample: out", out, { rows: input.rows, columns: 1 });
  return () => {
    for (let r = 0; r < input.rows; r++) {
      const [temperature = 0, topK = 0, topP = 1, uniform = 0] = options.row(r);
      to.row(r).fill(sampleRow(input.row(r), { temperature, topK, topP, uniform }));
    }
  };
}

function sampleRow(logits: Float32Array, settings: Settings): number {
  if (logits.some(Number.isNaN) || !logits.some(Number.isFinite)) return -1;
  const best = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
  if (settings.temperature === 0) return best;
  const ranked = rank(logits, logits[best] as number, settings);
  return draw(nucleus(ranked, settings.topP), settings.uniform);
}

/** The topK likeliest, descending, ties to the lower id; weights are probabilities up to a common factor. */
function rank(logits: Float32Array, largest: number, { temperature, topK }: Settings): Candidate[] {
  const candidates = Array.from(logits, (logit, id) => ({
    id,
    // The comparison keeps an infinite logit from becoming NaN.
    weight: logit === largest ? 1 : Math.exp((logit - largest) / temperature),
  }));
  candidates.sort((a, b) => (logits[b.id] as number) - (logits[a.id] as number) || a.id - b.id);
  return topK > 0 ? candidates.slice(0, topK) : candidates;
}

/** The fewest leading candidates whose share reaches topP; at least one. */
function nucleus(ranked: readonly Candidate[], topP: number): readonly Candidate[] {
  const total = ranked.reduce((sum, candidate) => sum + candidate.weight, 0);
  let reached = 0;
  const last = ranked.findIndex((candidate) => (reached += candidate.weight) >= topP * total);
  return last < 0 ? ranked : ranked.slice(0, last + 1);
}

/** The first candidate where the cumulated share exceeds `uniform`; the last when rounding leaves none. */
function draw(kept: readonly Candidate[], uniform: number): number {
  const total = kept.reduce((sum, candidate) => sum + candidate.weight, 0);
  let reached = 0;
  const found = kept.find((candidate) => (reached += candidate.weight) > uniform * total);
  return (found ?? kept.at(-1))?.id ?? -1;
}
