import { FormatError, fromF32, hostArray, toF32 } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";

/**
 * Scales as f16 bits. Those stored as bf16 or f32 must be f16 numbers, too: bf16 has fewer digits, so that only very
 * small and very large scales are not.
 * @throws FormatError naming the first that is not
 */
export function scaleBits(name: string, dtype: DType, data: Uint8Array): Uint16Array {
  if (dtype === "f16") return hostArray({ dtype, shape: [data.length / 2], data }) as Uint16Array;
  const count = data.length / (dtype === "f32" ? 4 : 2);
  const values = toF32(dtype, data, count);
  const bits = fromF32("f16", values);
  const rounded = toF32("f16", bits, count);
  const at = values.findIndex((value, i) => value !== rounded[i]);
  if (at < 0) return new Uint16Array(bits.buffer);
  throw new FormatError(
    `${name} holds the scale ${values[at]} as ${dtype}, which f16 cannot hold exactly; scales of packed weights are kept as f16. ` +
      "Use the model in f16 or bf16, or quantise it with `infllm quantize`.",
  );
}
