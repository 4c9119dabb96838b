import { FormatError, bf16ToF32, f16ToF32, f32ToF16, hostArray } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";

/** In the table: no f16 number. */
const NONE = 0x10000;

let bf16Table: Uint32Array | undefined;

/** f16 bits of every bf16 number that is one (256 KiB), made on first use. */
function bf16InF16(): Uint32Array {
  bf16Table ??= Uint32Array.from({ length: 65536 }, (_, bits) => exactBits(bf16ToF32(bits)));
  return bf16Table;
}

function exactBits(value: number): number {
  const bits = f32ToF16(value);
  return f16ToF32(bits) === value ? bits : NONE;
}

/**
 * Scales as f16 bits. Those stored as bf16 or f32 must be f16 numbers, too: bf16 has fewer digits, so that only very
 * small and very large scales are not.
 * @throws FormatError naming the first that is not
 */
export function scaleBits(name: string, dtype: DType, data: Uint8Array): Uint16Array {
  const wide = dtype === "f32";
  const stored = hostArray({ dtype, shape: [data.length / (wide ? 4 : 2)], data });
  if (dtype === "f16") return stored as Uint16Array;
  const table = bf16InF16();
  const bits = new Uint16Array(stored.length);
  for (let i = 0; i < bits.length; i++) {
    const half = wide ? exactBits(stored[i] as number) : (table[stored[i] as number] as number);
    if (half === NONE) throw inexact(name, dtype, wide ? (stored[i] as number) : bf16ToF32(stored[i] as number));
    bits[i] = half;
  }
  return bits;
}

function inexact(name: string, dtype: DType, scale: number): FormatError {
  return new FormatError(
    `${name} holds the scale ${scale} as ${dtype}, which f16 cannot hold exactly; scales of packed weights are kept as f16. ` +
      "Use the model in f16 or bf16, or quantise it with `infllm quantize`.",
  );
}
