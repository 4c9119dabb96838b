/**
 * Element types. Plain types hold one number an element; block-quantised types store a row in blocks of
 * `blockElements` numbers that share scales, little-endian: layouts as in GGUF, and `q4_g128`, which holds what GPTQ
 * and AWQ checkpoints publish (see `q4-g128.ts`).
 */
interface DTypeInfo {
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Largest relative rounding error of one stored number (half the spacing at 1); 0 for integers and quantised types. */
  readonly epsilon: number;
}

const table = {
  f32: { blockElements: 1, blockBytes: 4, epsilon: 2 ** -24 },
  f16: { blockElements: 1, blockBytes: 2, epsilon: 2 ** -11 },
  bf16: { blockElements: 1, blockBytes: 2, epsilon: 2 ** -8 },
  i32: { blockElements: 1, blockBytes: 4, epsilon: 0 },
  u32: { blockElements: 1, blockBytes: 4, epsilon: 0 },
  u8: { blockElements: 1, blockBytes: 1, epsilon: 0 },
  q8_0: { blockElements: 32, blockBytes: 34, epsilon: 0 },
  q4_0: { blockElements: 32, blockBytes: 18, epsilon: 0 },
  q4_1: { blockElements: 32, blockBytes: 20, epsilon: 0 },
  q4_k: { blockElements: 256, blockBytes: 144, epsilon: 0 },
  q5_k: { blockElements: 256, blockBytes: 176, epsilon: 0 },
  q6_k: { blockElements: 256, blockBytes: 210, epsilon: 0 },
  q4_g128: { blockElements: 128, blockBytes: 68, epsilon: 0 },
} as const satisfies Record<string, DTypeInfo>;

export type DType = keyof typeof table;
export type FloatDType = "f32" | "f16" | "bf16";
export type IntegerDType = "i32" | "u32" | "u8";
/** What a KV cache may be stored as; `q8` is 8 bits a number and a scale a row: see `encodeQ8Rows`. */
export const cacheDTypes = ["f32", "f16", "bf16", "q8"] as const;
export type CacheDType = (typeof cacheDTypes)[number];
export type QuantizedDType = Exclude<DType, FloatDType | IntegerDType>;
/** What a weight matrix may be stored as. */
export type WeightDType = FloatDType | QuantizedDType;

export const dtypes = Object.keys(table) as readonly DType[];

export function dtypeInfo(dtype: DType): DTypeInfo {
  return table[dtype];
}

export function isQuantized(dtype: DType): dtype is QuantizedDType {
  return table[dtype].blockElements > 1;
}

/** Bytes of `elements` numbers of this type; quantised rows must be whole blocks (see `rowBytes`). */
export function byteLength(dtype: DType, elements: number): number {
  const { blockElements, blockBytes } = table[dtype];
  return Math.ceil(elements / blockElements) * blockBytes;
}
