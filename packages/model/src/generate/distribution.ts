/** Next-token distributions, given as logits. */
import { logSumExp } from "@infllm/block-selection";
import { ShapeError } from "@infllm/tensor";

/** Index of the largest element, the lower one on a tie. */
export function largestIndex(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

/**
 * KL(p ‖ q) = Σ p ln(p / q) in nats, of the distributions that two rows of logits stand for. Never below 0.
 * @throws ShapeError for rows of different length
 */
export function klDivergence(p: Float32Array, q: Float32Array): number {
  if (p.length !== q.length) throw new ShapeError(`klDivergence: ${p.length} logits cannot be compared with ${q.length}.`);
  const [lnP, lnQ] = [logSumExp(p), logSumExp(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const ln = (p[i] as number) - lnP;
    const probability = Math.exp(ln);
    if (probability > 0) sum += probability * (ln - ((q[i] as number) - lnQ));
  }
  return Math.max(0, sum);
}
