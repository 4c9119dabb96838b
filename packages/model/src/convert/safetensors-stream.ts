import { UnsupportedError, tensorBytes } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";
import type { ByteSink } from "../formats/gguf-writer.ts";

const fileTypes: Partial<Record<DType, string>> = { f32: "F32", f16: "F16", bf16: "BF16", i32: "I32" };

export interface StreamedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** All of its bytes, in pieces; called once, in the order of the tensors. */
  data(): AsyncIterable<Uint8Array>;
}

/** Writes a safetensors file tensor by tensor: 8 bytes of header length, a JSON header, then the data in its order. */
export async function streamSafetensors(sink: ByteSink, tensors: readonly StreamedTensor[]): Promise<void> {
  await sink.write(header(tensors));
  for (const tensor of tensors) for await (const piece of tensor.data()) await sink.write(piece);
}

function header(tensors: readonly StreamedTensor[]): Uint8Array {
  let offset = 0;
  const entries = tensors.map(({ name, dtype, shape }) => {
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
