import { UnsupportedError, tensorBytes } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";
import type { ByteSink } from "../formats/gguf-writer.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { tensorRows } from "./tensor-rows.ts";
import type { TensorPlan } from "./tensor-rows.ts";

const fileTypes: Partial<Record<DType, string>> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** Writes a safetensors file tensor by tensor: 8 bytes of header length, a JSON header, then the data in its order. */
export async function streamSafetensors(
  sink: ByteSink,
  source: WeightSource,
  plans: readonly TensorPlan[],
  onTensor: (plan: TensorPlan) => void,
): Promise<void> {
  await sink.write(header(plans));
  for (const plan of plans) {
    for await (const { data } of tensorRows(source, plan)) await sink.write(data);
    onTensor(plan);
  }
}

function header(plans: readonly TensorPlan[]): Uint8Array {
  let offset = 0;
  const entries = plans.map(({ name, dtype, shape }) => {
    const type = fileTypes[dtype];
    if (type === undefined) {
      throw new UnsupportedError(`${name} is ${dtype}, which safetensors cannot hold. Convert to f16, bf16 or f32, or to GGUF.`);
    }
    const from = offset;
    offset += tensorBytes(dtype, shape);
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: type, shape, data_offsets: [from, offset] })}`;
  });
  const json = new TextEncoder().encode(`{"__metadata__":{"format":"pt"},${entries.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}
