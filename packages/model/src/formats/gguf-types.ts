/** The type codes of GGUF files: of metadata values, and of tensors (ggml types). */
import type { DType } from "@infllm/tensor";

/** Metadata types by code; the code is the place in this list. */
export const ggufValueTypes = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type GgufValueType = (typeof ggufValueTypes)[number];
export type GgufNumberType = Exclude<GgufValueType, "bool" | "string" | "array">;

export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

export type GgufArray =
  | { readonly type: "array"; readonly of: GgufNumberType; readonly value: GgufNumbers }
  | { readonly type: "array"; readonly of: "bool"; readonly value: readonly boolean[] }
  | { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] }
  | { readonly type: "array"; readonly of: "array"; readonly value: readonly GgufArray[] };

/** A metadata value with its stored type. 64-bit integers are numbers where those are exact, bigint beyond. */
export type GgufValue =
  | { readonly type: GgufNumberType; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | GgufArray;

/** Bytes of one number of a metadata type. */
export const ggufNumberBytes: Readonly<Record<GgufNumberType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
};

export interface GgmlType {
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Our name, for the types we can read. */
  readonly dtype?: DType;
}

/** Tensor types by code, from the format's reference implementation; codes left out were retired. */
export const ggmlTypes: ReadonlyMap<number, GgmlType> = new Map<number, GgmlType>([
  [0, { name: "F32", blockElements: 1, blockBytes: 4, dtype: "f32" }],
  [1, { name: "F16", blockElements: 1, blockBytes: 2, dtype: "f16" }],
  [2, { name: "Q4_0", blockElements: 32, blockBytes: 18, dtype: "q4_0" }],
  [3, { name: "Q4_1", blockElements: 32, blockBytes: 20, dtype: "q4_1" }],
  [6, { name: "Q5_0", blockElements: 32, blockBytes: 22 }],
  [7, { name: "Q5_1", blockElements: 32, blockBytes: 24 }],
  [8, { name: "Q8_0", blockElements: 32, blockBytes: 34, dtype: "q8_0" }],
  [9, { name: "Q8_1", blockElements: 32, blockBytes: 36 }],
  [10, { name: "Q2_K", blockElements: 256, blockBytes: 84 }],
  [11, { name: "Q3_K", blockElements: 256, blockBytes: 110 }],
  [12, { name: "Q4_K", blockElements: 256, blockBytes: 144, dtype: "q4_k" }],
  [13, { name: "Q5_K", blockElements: 256, blockBytes: 176, dtype: "q5_k" }],
  [14, { name: "Q6_K", blockElements: 256, blockBytes: 210, dtype: "q6_k" }],
  [15, { name: "Q8_K", blockElements: 256, blockBytes: 292 }],
  [16, { name: "IQ2_XXS", blockElements: 256, blockBytes: 66 }],
  [17, { name: "IQ2_XS", blockElements: 256, blockBytes: 74 }],
  [18, { name: "IQ3_XXS", blockElements: 256, blockBytes: 98 }],
  [19, { name: "IQ1_S", blockElements: 256, blockBytes: 50 }],
  [20, { name: "IQ4_NL", blockElements: 32, blockBytes: 18 }],
  [21, { name: "IQ3_S", blockElements: 256, blockBytes: 110 }],
  [22, { name: "IQ2_S", blockElements: 256, blockBytes: 82 }],
  [23, { name: "IQ4_XS", blockElements: 256, blockBytes: 136 }],
  [24, { name: "I8", blockElements: 1, blockBytes: 1 }],
  [25, { name: "I16", blockElements: 1, blockBytes: 2 }],
  [26, { name: "I32", blockElements: 1, blockBytes: 4, dtype: "i32" }],
  [27, { name: "I64", blockElements: 1, blockBytes: 8 }],
  [28, { name: "F64", blockElements: 1, blockBytes: 8 }],
  [29, { name: "IQ1_M", blockElements: 256, blockBytes: 56 }],
  [30, { name: "BF16", blockElements: 1, blockBytes: 2, dtype: "bf16" }],
  [34, { name: "TQ1_0", blockElements: 256, blockBytes: 54 }],
  [35, { name: "TQ2_0", blockElements: 256, blockBytes: 66 }],
  [39, { name: "MXFP4", blockElements: 32, blockBytes: 17 }],
]);

/** The code of a dtype, or undefined when ggml has no such type (u32, u8). */
export function ggmlCode(dtype: DType): number | undefined {
  for (const [code, type] of ggmlTypes) if (type.dtype === dtype) return code;
  return undefined;
}

/** The types we can read, for messages. */
export const readableGgmlTypes: string = [...ggmlTypes.values()]
  .filter((type) => type.dtype !== undefined)
  .map((type) => type.name)
  .join(", ");

export const DEFAULT_ALIGNMENT = 32;
