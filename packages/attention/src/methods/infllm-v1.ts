/**
 * InfLLM, version 1 (arXiv 2402.04617): no training. A query reads the first tokens, the last `localWindow`, and the
 * `topk` blocks of its memory whose representative tokens fit the queries best.
 *
 * A token that leaves the window joins the memory: first the `initTokens`, which stay visible, then blocks of
 * `blockSize`; until its block is full it stays visible, too. In every block, each query head keeps the mean of the
 * `representatives` keys with the largest r_m = 1/L Σ_{j=1…L} q_{m+j} · k_m, the mean score that the L = `localWindow`
 * next queries give the token (§3.2 of the paper; its published code sums attention probabilities instead). Queries
 * look blocks up together, at most `chunk` rows that come in one step: the score of a block is Σ over heads of the rows'
 * mean query times the mean key, one choice for all heads of the layer.
 *
 * Tokens outside the window are all given the same distance, L: their keys are not rotated, and their queries are as if
 * at position L.
 */
import { ConfigError } from "@infllm/tensor";
import { InfllmV1Attention } from "./infllm-v1-attention.ts";
import type { AttentionMethod } from "./method.ts";
import { count, methodOptions } from "./options.ts";

export interface InfllmV1Options {
  /** Tokens from the start that every query sees. */
  readonly initTokens: number;
  /** Last tokens that a query sees at their real distances, its own included. */
  readonly localWindow: number;
  /** Tokens of a memory block. */
  readonly blockSize: number;
  /** Blocks that are looked up. */
  readonly topk: number;
  /** Tokens that stand for a block. */
  readonly representatives: number;
  /** Most rows that look blocks up together; at most `localWindow`. */
  readonly chunk: number;
}

/** By default the 1536 tokens that the embedded model's sparse attention reads: 64 + 576 + 14 blocks of 64. */
export function infllmV1(options: Partial<InfllmV1Options> = {}): AttentionMethod {
  const settings = methodOptions<InfllmV1Options>("infllm-v1", options, {
    initTokens: count(64, 0),
    localWindow: count(576),
    blockSize: count(64),
    topk: count(14),
    representatives: count(4),
    chunk: count(512),
  });
  if (settings.representatives > settings.blockSize) {
    throw new ConfigError(`Method infllm-v1: representatives ${settings.representatives} are more than a block of ${settings.blockSize} has.`);
  }
  if (settings.chunk > settings.localWindow) {
    throw new ConfigError(`Method infllm-v1: chunk ${settings.chunk} is larger than localWindow ${settings.localWindow}; rows of a chunk must see each other.`);
  }
  return {
    name: "infllm-v1",
    options: { ...settings },
    model: { attention: "dense", everyQuery: true },
    begin: (place) => new InfllmV1Attention(place, settings),
  };
}
