import type { Figures } from "../results/record.ts";
import { perplexityOf } from "../tasks/perplexity/longppl.ts";

/** Parts a text is cut into for figures by position. */
export const parts = 16;

export interface ScoredText {
  /** ln p of every token; NaN where nothing predicts it. */
  readonly logProbs: Float64Array;
  /** Indices of the tokens that LongPPL counts. */
  readonly keys: readonly number[];
}

/** Mean NLL overall and by position, and LongPPL over the key tokens of all texts. */
export function perplexityFigures(texts: readonly ScoredText[]): Figures {
  const length = texts[0]?.logProbs.length ?? 0;
  const sums = Array.from({ length: parts }, () => ({ nll: 0, count: 0 }));
  const keyLogProbs: number[] = [];
  for (const { logProbs, keys } of texts) {
    logProbs.forEach((value, index) => {
      const part = sums[Math.min(parts - 1, Math.floor((index * parts) / length))];
      if (part === undefined || Number.isNaN(value)) return;
      part.nll -= value;
      part.count++;
    });
    for (const key of keys) keyLogProbs.push(logProbs[key] ?? Number.NaN);
  }
  const total = sums.reduce((sum, { nll, count }) => ({ nll: sum.nll + nll, count: sum.count + count }), { nll: 0, count: 0 });
  const nll = total.nll / total.count;
  return {
    tokens: total.count,
    nll,
    perplexity: Math.exp(nll),
    byPosition: sums.map(({ nll: sum, count }, part) => ({ to: Math.round(((part + 1) * length) / parts), nll: count === 0 ? null : sum / count })),
    keyTokens: keyLogProbs.length,
    longPpl: keyLogProbs.length === 0 ? null : perplexityOf(keyLogProbs, keyLogProbs.map((_, index) => index)),
  };
}
