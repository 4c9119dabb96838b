/** Weight matrices in every storage type, with the numbers that the stored bytes stand for. */
import { dtypeInfo, fromF32, isQuantized, rowBytes, toF32 } from "@infllm/tensor";
import type { Random, WeightDType } from "@infllm/tensor";

export interface TestWeight {
  readonly data: Uint8Array;
  /** f32 `[rows, columns]` */
  readonly values: Float32Array;
}

/** Columns that a row of this type may have, odd ones among them where the type allows. */
export function testColumns(dtype: WeightDType): readonly number[] {
  if (!isQuantized(dtype)) return [1, 7, 8, 9, 63, 64, 65, 130];
  const block = dtypeInfo(dtype).blockElements;
  return block === 32 ? [32, 96, 256] : block === 128 ? [128, 384, 512] : [256, 512];
}

export function testWeight(dtype: WeightDType, rows: number, columns: number, random: Random): TestWeight {
  const data = isKQuant(dtype)
    ? kQuantBytes(dtype, rowBytes(dtype, columns) * rows, random)
    : fromF32(dtype, random.normals(rows * columns));
  return { data, values: toF32(dtype, data, rows * columns) };
}

type KQuant = keyof typeof kQuants;

/** Bytes of a 256-number block, and where it holds f16 scales; all other bytes may be anything. */
const kQuants = {
  q4_k: { bytes: 144, scales: [0, 2] },
  q5_k: { bytes: 176, scales: [0, 2] },
  q6_k: { bytes: 210, scales: [208] },
} as const;

function isKQuant(dtype: WeightDType): dtype is KQuant {
  return dtype in kQuants;
}

/** Random blocks with scales near 0.01. */
function kQuantBytes(dtype: KQuant, length: number, random: Random): Uint8Array {
  const data = Uint8Array.from({ length }, () => random.below(256));
  const view = new DataView(data.buffer);
  const { bytes, scales } = kQuants[dtype];
  for (let block = 0; block < length; block += bytes) {
    // 0x2000 to 0x23ff are the f16 from 2^-7 to 2^-6.
    for (const offset of scales) view.setUint16(block + offset, 0x2000 + random.below(0x400), true);
  }
  return data;
}
