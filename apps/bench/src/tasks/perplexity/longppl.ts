/**
 * LongPPL, "What is Wrong with Perplexity for Long-context Language Modeling?" (arXiv 2410.23771): perplexity over key
 * tokens only, those that a model predicts well *because of* the distant context. An evaluator model finds them once; every
 * model or method is then measured on the same tokens.
 */
import { ConfigError, ShapeError } from "@infllm/tensor";

export interface KeyTokenOptions {
  /** Least gain in log-likelihood from the long context, in nats: the paper's α, 2. */
  readonly gain?: number;
  /** Least log-likelihood in the long context, in nats: the paper's β, -2. */
  readonly likelihood?: number;
}

/** Where the evaluator's short contexts lie: tokens `from` to `to` are scored with what stands between `start` and them. */
export interface ShortWindow {
  readonly start: number;
  /** First scored token, `context` tokens behind `start`. */
  readonly from: number;
  /** One behind the last scored token, and the end of the window. */
  readonly to: number;
}

/**
 * The windows in which a text is read again with a short context. To save work `stride` tokens share a start, so that
 * contexts have `context` to `context + stride - 1` tokens. The first `context` tokens are in no window: their long context
 * is no longer than the short one.
 *
 * @param context the paper's K: 4096 there
 * @param stride the paper's d: 1024 there
 */
export function shortWindows(length: number, context = 4096, stride = 1024): ShortWindow[] {
  if (!Number.isInteger(context) || !Number.isInteger(stride) || context <= 0 || stride <= 0) {
    throw new ConfigError(`LongPPL's short context and stride are positive numbers of tokens, not ${context} and ${stride}.`);
  }
  const count = Math.max(0, Math.ceil((length - context) / stride));
  return Array.from({ length: count }, (_, index) => {
    const start = index * stride;
    return { start, from: start + context, to: Math.min(start + context + stride, length) };
  });
}

/**
 * Indices of the key tokens, ascending: `long - short > gain` and `long > likelihood`.
 *
 * @param long log-likelihood of every token given all before it, in nats
 * @param short the same given a short context only; NaN where none was scored
 * @throws ShapeError on different lengths
 */
export function keyTokens(long: ArrayLike<number>, short: ArrayLike<number>, { gain = 2, likelihood = -2 }: KeyTokenOptions = {}): number[] {
  if (long.length !== short.length) {
    throw new ShapeError(`Key tokens need one log-likelihood a token from both contexts: ${long.length} from the long one, ${short.length} from the short one.`);
  }
  return Array.from({ length: long.length }, (_, index) => index).filter((index) => {
    const [far, near] = [long[index] ?? Number.NaN, short[index] ?? Number.NaN];
    return far - near > gain && far > likelihood;
  });
}

/** Perplexity, exp of the mean negative log-likelihood, over the tokens of these indices; NaN of none. */
export function perplexityOf(logProbs: ArrayLike<number>, tokens: readonly number[]): number {
  const sum = tokens.reduce((total, index) => total + (logProbs[index] ?? Number.NaN), 0);
  return Math.exp(-sum / tokens.length);
}
