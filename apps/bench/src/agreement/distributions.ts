/** How far the next-token distributions of a method are from full attention's, on the same text. */
import type { Model } from "@infllm/model";
import { compareRows } from "@infllm/model";
import type { Figures } from "../results/record.ts";
import type { CellContext } from "../results/run-cells.ts";

/** Positions a text is cut into for figures by position. */
export const bins = 8;

export interface DistributionOptions {
  readonly texts: readonly (readonly number[])[];
  /** Positions compared in each text, evenly spread. */
  readonly positions: number;
}

/** KL(full ‖ method) in nats and the share of equal most likely tokens: overall and by position. */
export async function compareDistributions(full: Model, other: Model, { texts, positions }: DistributionOptions, { signal, progress }: CellContext): Promise<Figures> {
  const sums = Array.from({ length: bins }, () => ({ count: 0, kl: 0, same: 0 }));
  let largest = 0;
  for (const [index, ids] of texts.entries()) {
    const wanted = spread(ids.length, positions);
    const options = { positions: wanted, signal };
    for await (const { position, kl, sameTop } of compareRows(full.scoreRows(ids, options), other.scoreRows(ids, options))) {
      const bin = sums[Math.min(bins - 1, Math.floor((position * bins) / ids.length))];
      if (bin === undefined) continue;
      bin.count++;
      bin.kl += kl;
      bin.same += Number(sameTop);
      largest = Math.max(largest, kl);
    }
    progress("", index + 1, texts.length, "samples");
  }
  const all = sums.reduce((sum, { count, kl, same }) => ({ count: sum.count + count, kl: sum.kl + kl, same: sum.same + same }), { count: 0, kl: 0, same: 0 });
  const length = texts[0]?.length ?? 0;
  return {
    positions: all.count,
    kl: all.kl / all.count,
    largestKl: largest,
    sameTop: all.same / all.count,
    byPosition: sums.map(({ count, kl, same }, bin) => ({ to: Math.round(((bin + 1) * length) / bins), kl: count === 0 ? null : kl / count, sameTop: count === 0 ? null : same / count })),
  };
}

/** So many positions of a text, evenly spread, the last among them. */
export function spread(length: number, count: number): number[] {
  const wanted = Math.min(count, length);
  return [...new Set(Array.from({ length: wanted }, (_, i) => Math.floor(((i + 1) * length) / wanted) - 1))];
}
