/**
 * NSA, native sparse attention (arXiv 2502.11089): the gated sum of three attentions over the same queries.
 *
 * - Compressed: over one key and value for every run of `compressSize` tokens at stride `compressStride`, of the runs
 *   that end by the query.
 * - Selected: over the tokens of `blocks` blocks, the first `initBlocks` and the last `localBlocks` among them. A block
 *   scores Σ of the compressed probabilities of the runs that overlap it, once for each shared stride (eq. 9), summed
 *   over the query heads that share the KV head (eq. 10); a tie goes to the earlier block.
 * - Window: over the last `window` tokens.
 *
 * A branch that a query sees nothing of gives 0. The paper trains compression and gates, and gives each branch keys and
 * values of its own; models here have one K and V, which all branches share. Without `weights`, runs are averaged and
 * every gate is 1/3: that costs what NSA costs, and is no measure of how well trained NSA reads.
 */
import { ConfigError } from "@infllm/tensor";
import type { AttentionMethod } from "./method.ts";
import { NsaAttention } from "./nsa-attention.ts";
import { count, methodOptions } from "./options.ts";

export interface NsaOptions {
  readonly compressSize: number;
  readonly compressStride: number;
  /** Tokens of a block that is selected. A multiple of `compressStride`. */
  readonly blockSize: number;
  /** Blocks that a query reads, `initBlocks` and `localBlocks` among them. */
  readonly blocks: number;
  readonly initBlocks: number;
  /** Last blocks, the query's own among them. */
  readonly localBlocks: number;
  readonly window: number;
}

/** What NSA learns. */
export interface NsaWeights {
  /** φ of a run of tokens of one KV head: f32 `[compressSize, headDim]` to `[headDim]`. */
  readonly compress?: ((run: Float32Array, what: "keys" | "values", place: { readonly layer: number; readonly kvHead: number }) => Float32Array) | undefined;
  /** f32 `[rows, heads, 3]`: gates of the compressed, selected and window branch. `q` is f32 `[rows, heads * headDim]`. */
  readonly gates?: ((rows: { readonly layer: number; readonly first: number; readonly rows: number; readonly q: Float32Array }) => Float32Array) | undefined;
}

/** Seconds spent in each part so far, over all layers. */
export interface NsaSeconds {
  /** Making compressed keys and values, and attention over them. */
  compressed: number;
  /** From queries to blocks. */
  selection: number;
  selected: number;
  window: number;
}

export interface NsaMethod extends AttentionMethod {
  readonly seconds: Readonly<NsaSeconds>;
}

/** The paper's numbers by default: 32 and 16, 16 blocks of 64, 512. */
export function nsa(options: Partial<NsaOptions> = {}, weights: NsaWeights = {}): NsaMethod {
  const settings = methodOptions<NsaOptions>("nsa", options, {
    compressSize: count(32),
    compressStride: count(16),
    blockSize: count(64),
    blocks: count(16),
    initBlocks: count(1, 0),
    localBlocks: count(2),
    window: count(512),
  });
  const { compressSize, compressStride, blockSize, blocks, initBlocks, localBlocks } = settings;
  for (const [name, value] of Object.entries({ compressSize, blockSize })) {
    if (value % compressStride === 0) continue;
    throw new ConfigError(`Method nsa: ${name} ${value} is no multiple of compressStride ${compressStride}.`);
  }
  if (initBlocks + localBlocks > blocks) {
    throw new ConfigError(`Method nsa: initBlocks ${initBlocks} and localBlocks ${localBlocks} are more than the ${blocks} blocks that a query reads.`);
  }
  const seconds: NsaSeconds = { compressed: 0, selection: 0, selected: 0, window: 0 };
  return {
    name: "nsa",
    options: { ...settings, compress: weights.compress ? "given" : "mean", gates: weights.gates ? "given" : "1/3" },
    model: { attention: "dense" },
    seconds,
    begin: (place) => new NsaAttention(place, settings, weights, seconds),
  };
}
