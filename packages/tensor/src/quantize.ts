/**
 * Block-quantised storage, in the layouts of GGUF; `q4_g128` has a file of its own. `d` and `m` are f16 scales,
 * little-endian; a nibble byte holds two 4-bit numbers. Decoding multiplies exactly and rounds to f32 once.
 *
 *   q8_0  d, 32 × i8                                       x = d·q
 *   q4_0  d, 16 bytes: low nibbles are 0…15, high 16…31    x = d·(q − 8)
 *   q4_1  d, m, nibbles as q4_0                            x = d·q + m
 *   q4_k  d, m, 12 bytes of 6-bit scales, 128 nibble bytes x = d·scale·q − m·min    (8 groups of 32)
 *   q5_k  as q4_k with 32 bytes of fifth bits before the nibbles
 *   q6_k  128 nibble bytes, 64 bytes of upper bit pairs, 16 × i8 scales, d          x = d·scale·(q − 32)
 */
import { byte, half, range, signedByte, writeHalf } from "./block-bytes.ts";
import type { DecodeBlock, EncodeBlock } from "./block-bytes.ts";
import { dtypeInfo } from "./dtype.ts";
import type { QuantizedDType } from "./dtype.ts";
import { decodeQ4G128, encodeQ4G128 } from "./q4-g128.ts";

/** Types that `quantize` can write. */
export const quantizableDTypes = ["q8_0", "q4_0", "q4_1", "q4_g128"] as const;
export type QuantizableDType = (typeof quantizableDTypes)[number];

const decodeQ80: DecodeBlock = (data, at, out, to) => {
  const d = half(data, at);
  for (let i = 0; i < 32; i++) out[to + i] = d * signedByte(data, at + 2 + i);
};

const decodeQ40: DecodeBlock = (data, at, out, to) => {
  const d = half(data, at);
  for (let i = 0; i < 16; i++) {
    const pair = byte(data, at + 2 + i);
    out[to + i] = d * ((pair & 15) - 8);
    out[to + 16 + i] = d * ((pair >> 4) - 8);
  }
};

const decodeQ41: DecodeBlock = (data, at, out, to) => {
  const d = half(data, at);
  const m = half(data, at + 2);
  for (let i = 0; i < 16; i++) {
    const pair = byte(data, at + 4 + i);
    out[to + i] = d * (pair & 15) + m;
    out[to + 16 + i] = d * (pair >> 4) + m;
  }
};

/** 6-bit scale and minimum of group 0…7; groups from 4 on keep their upper two bits above those of the first four. */
function groupScale(data: Uint8Array, scales: number, group: number): { scale: number; min: number } {
  if (group < 4) return { scale: byte(data, scales + group) & 63, min: byte(data, scales + 4 + group) & 63 };
  const low = byte(data, scales + 4 + group);
  return {
    scale: (low & 15) | ((byte(data, scales + group - 4) >> 6) << 4),
    min: (low >> 4) | ((byte(data, scales + group) >> 6) << 4),
  };
}

/** q4_k and q5_k: a byte's low nibble belongs to an even group, its high nibble to the odd group after it. */
function decodeGroups(data: Uint8Array, at: number, out: Float32Array, to: number, fifthBits: boolean): void {
  const d = half(data, at);
  const m = half(data, at + 2);
  const nibbles = at + 16 + (fifthBits ? 32 : 0);
  for (let group = 0; group < 8; group++) {
    const { scale, min } = groupScale(data, at + 4, group);
    const base = nibbles + (group >> 1) * 32;
    const nibbleShift = (group & 1) * 4;
    for (let i = 0; i < 32; i++) {
      const fifth = fifthBits ? ((byte(data, at + 16 + i) >> group) & 1) << 4 : 0;
      const q = ((byte(data, base + i) >> nibbleShift) & 15) | fifth;
      out[to + group * 32 + i] = d * scale * q - m * min;
    }
  }
}

const decodeQ6K: DecodeBlock = (data, at, out, to) => {
  const d = half(data, at + 208);
  for (let group = 0; group < 8; group++) {
    // Two halves of 128 numbers; in each, four groups of 32 share 64 nibble bytes and 32 bytes of bit pairs.
    const halfIndex = group >> 2;
    const part = group & 3;
    const nibbles = at + halfIndex * 64 + (part & 1) * 32;
    const pairs = at + 128 + halfIndex * 32;
    for (let i = 0; i < 32; i++) {
      const low = (byte(data, nibbles + i) >> ((part >> 1) * 4)) & 15;
      const high = (byte(data, pairs + i) >> (part * 2)) & 3;
      const scale = signedByte(data, at + 192 + group * 2 + (i >> 4));
      out[to + group * 32 + i] = d * scale * ((low | (high << 4)) - 32);
    }
  }
};

const decoders: Readonly<Record<QuantizedDType, DecodeBlock>> = {
  q8_0: decodeQ80,
  q4_0: decodeQ40,
  q4_1: decodeQ41,
  q4_k: (data, at, out, to) => decodeGroups(data, at, out, to, false),
  q5_k: (data, at, out, to) => decodeGroups(data, at, out, to, true),
  q6_k: decodeQ6K,
  q4_g128: decodeQ4G128,
};

/** Whole blocks to numbers. `data` holds a multiple of the type's block bytes (checked by `toF32`). */
export function dequantize(dtype: QuantizedDType, data: Uint8Array): Float32Array {
  const { blockElements, blockBytes } = dtypeInfo(dtype);
  const decode = decoders[dtype];
  const blocks = data.length / blockBytes;
  const out = new Float32Array(blocks * blockElements);
  for (let block = 0; block < blocks; block++) decode(data, block * blockBytes, out, block * blockElements);
  return out;
}

// Single-precision steps and rounding (half away from zero in q8_0, floor of x + ½ in q4) follow llama.cpp's
// quantiser, so that both write the same bytes.
const f32 = Math.fround;

const encodeQ80: EncodeBlock = (values, from, data, at) => {
  const { min, max } = range(values, from, 32);
  const d = f32(Math.max(max, -min) / 127);
  writeHalf(data, at, d, "q8_0");
  const inverse = d === 0 ? 0 : f32(1 / d);
  for (let i = 0; i < 32; i++) {
    const x = f32((values[from + i] as number) * inverse);
    data[at + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
  }
};

function writeNibbles(data: Uint8Array, at: number, quantum: (i: number) => number): void {
  for (let i = 0; i < 16; i++) data[at + i] = quantum(i) | (quantum(16 + i) << 4);
}

const encodeQ40: EncodeBlock = (values, from, data, at) => {
  const { min, max } = range(values, from, 32);
  // The number of largest magnitude becomes −8, the end of the range that has one step more.
  const extreme = firstExtreme(values, from, min, max);
  const d = f32(extreme / -8);
  writeHalf(data, at, d, "q4_0");
  const inverse = d === 0 ? 0 : f32(1 / d);
  writeNibbles(data, at + 2, (i) => {
    const x = f32(f32((values[from + i] as number) * inverse) + 8.5);
    return Math.min(15, Math.trunc(x));
  });
};

/** `min` or `max`, whichever is larger in magnitude; of two equal ones, the one that comes first. */
function firstExtreme(values: Float32Array, from: number, min: number, max: number): number {
  if (max !== -min) return max > -min ? max : min;
  for (let i = 0; i < 32; i++) {
    const value = values[from + i] as number;
    if (value === max || value === min) return value;
  }
  return max;
}

const encodeQ41: EncodeBlock = (values, from, data, at) => {
  const { min, max } = range(values, from, 32);
  const d = f32(f32(max - min) / 15);
  writeHalf(data, at, d, "q4_1");
  writeHalf(data, at + 2, min, "q4_1");
  const inverse = d === 0 ? 0 : f32(1 / d);
  writeNibbles(data, at + 4, (i) => {
    const x = f32(f32(f32((values[from + i] as number) - min) * inverse) + 0.5);
    return Math.min(15, Math.trunc(x));
  });
};

const encoders: Readonly<Record<QuantizableDType, EncodeBlock>> = {
  q8_0: encodeQ80,
  q4_0: encodeQ40,
  q4_1: encodeQ41,
  q4_g128: encodeQ4G128,
};

/** Numbers to whole blocks; `values` holds a multiple of the type's block (checked by `fromF32`). @throws FormatError on NaN or infinity */
export function quantize(dtype: QuantizableDType, values: Float32Array): Uint8Array {
  const { blockElements, blockBytes } = dtypeInfo(dtype);
  const encode = encoders[dtype];
  const blocks = values.length / blockElements;
  const data = new Uint8Array(blocks * blockBytes);
  for (let block = 0; block < blocks; block++) encode(values, block * blockElements, data, block * blockBytes);
  return data;
}
