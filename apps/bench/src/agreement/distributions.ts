/** How far the next-token distributions of a method are from full attention's, on the same text. */
import { compareRows } from "@infllm/model";
import type { Figures } from "../results/record.ts";
import type { CellContext } from "../results/run-cells.ts";
import type { RowSource } from "./kept-rows.ts";

/** Positions a text is cut into for figures by position. */
export const bins = 8;

/** The share of positions that counts as the worst: what a mean over few large values hides. */
const worstShare = 0.01;

export interface DistributionOptions {
  readonly texts: readonly (readonly number[])[];
  /** Positions compared in each text, evenly spread. */
  readonly positions: number;
}

/** One position of one text. */
interface Compared {
  readonly text: number;
  readonly position: number;
  /** KL(full ‖ method), nats. */
  readonly kl: number;
  readonly sameTop: boolean;
}

/**
 * KL(full ‖ method) in nats and the share of equal most likely tokens: overall and by position. The mean is carried by few
 * positions, so the median stands beside it, and what the worst hundredth adds to the sum; `compared` has every position.
 */
export async function compareDistributions(full: RowSource, other: RowSource, { texts, positions }: DistributionOptions, { signal, progress }: CellContext): Promise<Figures> {
  const compared: Compared[] = [];
  for (const [text, ids] of texts.entries()) {
    const options = { positions: spread(ids.length, positions), signal };
    for await (const { position, kl, sameTop } of compareRows(full.scoreRows(ids, options), other.scoreRows(ids, options))) {
      compared.push({ text, position, kl, sameTop });
    }
    progress("", text + 1, texts.length, "samples");
  }
  const length = texts[0]?.length ?? 0;
  const sorted = compared.map(({ kl }) => kl).sort((a, b) => b - a);
  const worst = sorted.slice(0, Math.ceil(worstShare * sorted.length));
  return {
    positions: compared.length,
    ...averages(compared),
    medianKl: sorted[Math.floor(sorted.length / 2)] ?? null,
    largestKl: sorted[0] ?? null,
    worst: { positions: worst.length, shareOfKl: sum(sorted) === 0 ? 0 : sum(worst) / sum(sorted) },
    byPosition: Array.from({ length: bins }, (_, bin) => ({
      to: Math.round(((bin + 1) * length) / bins),
      ...averages(compared.filter(({ position }) => Math.floor((position * bins) / length) === bin)),
    })),
    compared: compared.map(({ text, position, kl }) => [text, position, Number(kl.toPrecision(4))]),
  };
}

/** Null of nothing: figures are JSON. */
function averages(compared: readonly Compared[]): { readonly kl: number | null; readonly sameTop: number | null } {
  if (compared.length === 0) return { kl: null, sameTop: null };
  return { kl: sum(compared.map(({ kl }) => kl)) / compared.length, sameTop: sum(compared.map(({ sameTop }) => Number(sameTop))) / compared.length };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** So many positions of a text, evenly spread, the last among them. */
export function spread(length: number, count: number): number[] {
  const wanted = Math.min(count, length);
  return [...new Set(Array.from({ length: wanted }, (_, i) => Math.floor(((i + 1) * length) / wanted) - 1))];
}
