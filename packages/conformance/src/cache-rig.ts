/** A one-layer cache on a backend with known contents: pages in scattered order, everything else NaN. */
import type { CacheDType, FloatDType } from "@infllm/tensor";
import { random, roundedToQ8 } from "@infllm/tensor";
import { appendRows, compressBoth, compressedDType, windowCount } from "@infllm/block-selection";
import type { CacheRows, CompressedKeys, LayerCache, SequenceBatch, SparseConfig } from "@infllm/block-selection";
import { BatchState, KvCache } from "@infllm/attention";
import type { CachedSequence } from "@infllm/attention";
import { mustBe } from "./compare.ts";
import type { Device } from "./device.ts";
import { allRoundedTo } from "./tolerance.ts";

export interface RigShape {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens that each sequence may reach. */
  readonly contextLength: number;
  readonly sequences?: number;
  readonly sparse?: SparseConfig;
  readonly dtype?: CacheDType;
  /** Query rows of one step. */
  readonly rows?: number;
}

/** Rows to append: f32 `[count, kvHeads, headDim]` each. */
export interface NewTokens {
  readonly sequence: number;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

export class CacheRig {
  readonly sequences: CachedSequence[];
  readonly dtype: CacheDType;

  private constructor(
    readonly device: Device,
    readonly shape: RigShape,
    readonly cache: KvCache,
    readonly state: BatchState,
  ) {
    this.dtype = cache.shape.dtype;
    this.sequences = [];
  }

  static create(device: Device, shape: RigShape): CacheRig {
    const { kvHeads, headDim, contextLength, sparse, dtype, sequences = 1 } = shape;
    const backend = { ...device.backend, selection: device.selection };
    const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength, sparse, dtype, sequences });
    device.hold({ release: () => cache.close() });
    const rows = Math.max(shape.rows ?? 0, contextLength);
    const state = device.hold(BatchState.allocate(device.backend, cache, { rows, sequences: Math.max(sequences, rows) }));
    const rig = new CacheRig(device, shape, cache, state);
    rig.#poison();
    for (let s = 0; s < sequences; s++) rig.sequences.push(cache.addSequence());
    return rig;
  }

  get layer(): LayerCache {
    return mustBe(this.cache.layers[0]);
  }

  get batch(): SequenceBatch {
    return this.state.batch;
  }

  get width(): number {
    return this.shape.kvHeads * this.shape.headDim;
  }

  /** The numbers as the cache will hold them. */
  asCached(values: ArrayLike<number>): Float32Array {
    const given = this.device.asActivations(values);
    return this.dtype === "q8" ? roundedToQ8(given, this.shape.headDim) : allRoundedTo(this.dtype, given);
  }

  /** The coarsest type that compressed keys may be stored as. */
  get compressedDType(): FloatDType {
    return compressedDType(this.dtype, this.device.activation);
  }

  /** Appends to the sequences in one batch, and compresses when the cache is sparse. The batch stays set. */
  append(tokens: readonly NewTokens[]): void {
    this.state.set(tokens.map(({ sequence, k }) => ({ sequence: mustBe(this.sequences[sequence]), count: k.length / this.width })));
    this.#write(concatenate(tokens.map((each) => each.k)), concatenate(tokens.map((each) => each.v)));
  }

  /** Sets the batch to query rows over cached tokens. */
  query(entries: readonly { readonly sequence: number; readonly from: number; readonly count: number }[]): void {
    this.state.revisit(entries.map(({ sequence, from, count }) => ({ sequence: mustBe(this.sequences[sequence]), from, count })));
  }

  /** What a sequence of the current batch holds, by the backend's own account. */
  read(what: CacheRows, sequence: number, from: number, to: number): Promise<Float32Array> {
    return this.device.selection.readCache(this.layer, what, this.batch, sequence, from, to);
  }

  /** The backend's own compressed keys of a sequence of the current batch. */
  async compressed(sequence: number, length: number): Promise<CompressedKeys> {
    const { kernelSize, kernelStride } = mustBe(this.shape.sparse);
    return {
      fine: await this.read("fine-keys", sequence, 0, windowCount(length, kernelSize, kernelStride)),
      coarse: await this.read("coarse-keys", sequence, 0, windowCount(length, 4 * kernelSize, 4 * kernelStride)),
    };
  }

  /** Compressed keys as they should be, before the cache rounds them. `keys` as appended. */
  expectedCompressed(keys: Float32Array): CompressedKeys {
    return compressBoth(this.asCached(keys), this.shape, mustBe(this.shape.sparse));
  }

  /** Fills every page with NaN, and leaves the pages to be handed out in a shuffled order. */
  #poison(): void {
    const { blockSize, shape } = this.cache;
    const holders = Array.from({ length: shape.pages }, () => this.cache.addSequence());
    const count = Math.min(blockSize, this.cache.contextLength);
    for (const sequence of holders) {
      this.state.set([{ sequence, count }]);
      const nan = new Float32Array(count * this.width).fill(NaN);
      this.#write(nan, nan);
    }
    const { below } = random(shape.pages);
    while (holders.length > 0) mustBe(holders.splice(below(holders.length), 1)[0]).release();
  }

  #write(k: Float32Array, v: Float32Array): void {
    const { device, layer, batch, width } = this;
    const rows = { k: device.input(k, width), v: device.input(v, width) };
    appendRows(device.selection, { ...rows, cache: layer, batch });
  }
}

export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
