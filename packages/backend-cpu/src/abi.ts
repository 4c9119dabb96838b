/** Numbers that TypeScript and the kernels (`kernels/index.ts`, `kernels/half.ts`) must agree on. */
import type { CacheDType, WeightDType } from "@infllm/tensor";

export const op = {
  linear: 0,
  packRows: 1,
  embed: 2,
  rmsNorm: 3,
  rotate: 4,
  swiglu: 5,
  appendKv: 6,
  compressKeys: 7,
  selectBlocks: 8,
  attendDense: 9,
  attendBlocks: 10,
  selectLse: 11,
  selectScores: 12,
  selectChoose: 13,
  attendListed: 14,
} as const;

export type OpNumber = (typeof op)[keyof typeof op];

/** How kernels name the type of weights. */
export const kind = {
  f32: 0,
  f16: 1,
  bf16: 2,
  q8_0: 3,
  q4_0: 4,
  q4_1: 5,
  q4_k: 6,
  q5_k: 7,
  q6_k: 8,
  q4_g128: 9,
} as const satisfies Record<WeightDType, number>;

/** How they name the type of cached keys and values. */
export const cacheKind = { f32: kind.f32, f16: kind.f16, bf16: kind.bf16, q8: 16 } as const satisfies Record<CacheDType, number>;

/** Columns of a weight that `linear` widens at once, and panels of such slabs (`kernels/linear.ts`). */
export const K_SLAB = 512;
export const SLAB_GROUP = 4;
/** Windows that `selectBlocks` scores at once (`kernels/select-blocks.ts`). */
export const WINDOW_CHUNK = 64;
/** Listed tokens that `attendListed` gathers at once (`kernels/attend-listed.ts`). */
export const LISTED_KEYS = 64;

/** Bytes 0 … RESERVED of the memory: control words and the arguments of the running op; the heap follows. */
export const CONTROL = 1024;
export const ARGUMENTS = 2048;
export const ARGUMENT_BYTES = 256;
export const RESERVED = 65536;

/**
 * Control words (i32, counted from CONTROL); those that threads fight over lie on cache lines of their own.
 * Tasks are numbered on and on: those in [next, end) wait to be taken, `base` is the number of the op's first.
 */
export const control = { next: 0, end: 16, done: 32, base: 48, op: 49, scratch: 50, scratchBytes: 51, failed: 52 } as const;
export const CONTROL_WORDS = 64;

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** An f32 as the 32 bits of an argument word. */
export function f32Word(value: number): number {
  float[0] = value;
  return bits[0] as number;
}
