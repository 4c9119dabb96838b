import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { ConfigError, FormatError, NotAvailableError, UnsupportedError } from "@infllm/tensor";
import type { HostTensor } from "@infllm/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { convertModel, inspectModel, loadModel } from "../src/index.ts";
import { packedFiles, packedModel } from "./support/packed-model.ts";
import type { PackedChanges, PackedModel } from "./support/packed-model.ts";

type Kind = typeof ConfigError | typeof FormatError | typeof NotAvailableError | typeof UnsupportedError;

const module = "model.layers.1.mlp.down_proj";

describe("packed checkpoints that cannot be loaded say why, before memory is taken", () => {
  let packed: PackedModel;
  beforeAll(async () => {
    packed = await packedModel();
  });

  const tensor = (part: string): HostTensor => packed.tensors.get(`${module}.${part}`) ?? { dtype: "f32", shape: [], data: new Uint8Array() };
  const replaced = (part: string, change: Partial<HostTensor> | undefined): PackedChanges => ({
    tensors: { [`${module}.${part}`]: change && { ...tensor(part), ...change } },
  });

  async function refuses(changes: PackedChanges, message: RegExp, kind: Kind = FormatError): Promise<void> {
    const backend = referenceBackend();
    const taken: string[] = [];
    const counting = {
      ...backend,
      allocate: (...args: Parameters<typeof backend.allocate>) => (taken.push("tensor"), backend.allocate(...args)),
      neural: {
        ...backend.neural,
        allocateWeight: (...args: Parameters<typeof backend.neural.allocateWeight>) => (taken.push("weight"), backend.neural.allocateWeight(...args)),
      },
    };
    const loading = loadModel(packedFiles(packed, changes), { backend: counting, contextLength: 64 });
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(kind);
    expect(taken).toEqual([]);
  }

  it("missing zero points, scales or quants", async () => {
    await refuses(replaced("qzeros", undefined), /has model.layers.1.mlp.down_proj.qweight, but no model.layers.1.mlp.down_proj.qzeros/);
    await refuses(replaced("scales", undefined), /but no model.layers.1.mlp.down_proj.scales/);
    await refuses(replaced("qweight", undefined), /missing: model.layers.1.mlp.down_proj.weight; unexpected: model.layers.1.mlp.down_proj.g_idx/);
  });

  it("another group size than the tensors have", async () => {
    await refuses({ quantisation: { group_size: 64 } }, /down_proj.scales has shape \[2, 128\]; beside .*qweight \[32, 128\] and with 4 groups of 64 columns it must be \[4, 128\]/);
    await refuses({ quantisation: { group_size: 96 } }, /256 columns, which are no whole groups of 96/, UnsupportedError);
    await refuses({ quantisation: { group_size: 48 } }, /group_size of quantization_config of config.json is 48.*multiple of 32/, ConfigError);
    await refuses({ quantisation: { group_size: 0 } }, /group_size .* is 0/, ConfigError);
  });

  it("mixed types", async () => {
    await refuses(replaced("qweight", { dtype: "u32" }), /down_proj.qweight is u32; it must be i32/);
    await refuses(replaced("qzeros", { dtype: "f32" }), /down_proj.qzeros is f32; it must be i32/);
    await refuses(replaced("scales", { dtype: "u8", shape: [2, 256] }), /down_proj.scales is u8; it must be f16 or bf16 or f32/);
    await refuses(
      { tensors: { [`${module}.weight`]: { dtype: "f16", shape: [128, 256], data: new Uint8Array(65536) } } },
      /has both model.layers.1.mlp.down_proj.weight and model.layers.1.mlp.down_proj.qweight/,
    );
  });

  it("shapes that contradict each other or the config", async () => {
    await refuses(replaced("qzeros", { shape: [4, 8] }), /qzeros has shape \[4, 8\]; .* must be \[2, 16\]/);
    await refuses(replaced("g_idx", { shape: [2, 128] }), /g_idx has shape \[2, 128\]; in GPTQ.* it must be \[256\]/);
    await refuses(replaced("qweight", { shape: [64, 64] }), /it must be \[4, 64\]/);
    await refuses(replaced("qweight", { shape: [4096] }), /qweight has shape \[4096\], which no matrix of GPTQ/);
  });

  it("truncated shards", async () => {
    await refuses({ cut: 100 }, /model.safetensors/);
  });

  it("methods, widths and layouts that are not read", async () => {
    await refuses({ quantisation: { quant_method: "bitsandbytes" } }, /quant_method "bitsandbytes"; supported: gptq .*awq.*compressed-tensors/, UnsupportedError);
    await refuses({ quantisation: { bits: 8 } }, /says 8 bits; packed weights of 4 bits/, UnsupportedError);
    await refuses({ quantisation: { checkpoint_format: "marlin_24" } }, /checkpoint_format "marlin_24"; supported: gptq, gptq_v2, marlin/, UnsupportedError);
    await refuses({ quantisation: { quant_method: "awq", version: "gemv" } }, /AWQ of version "gemv"; gemm is supported/, UnsupportedError);
    await refuses({ quantisation: { quant_method: "compressed-tensors", format: "float-quantized" } }, /format "float-quantized"/, UnsupportedError);
    await refuses({ quantisation: { quant_method: "compressed-tensors", format: "pack-quantized" } }, /config_groups .* has 0 groups/, UnsupportedError);
  });

  it("a config of another model or method", async () => {
    await refuses({ quantisation: { checkpoint_format: "marlin" } }, /qweight|\.B/);
    await refuses({ quantisation: { quant_method: "compressed-tensors", format: "pack-quantized", config_groups: { group_0: { weights: { num_bits: 4, type: "int", group_size: 128 } } } } },
      /no tensor is named ….weight_packed/);
    await refuses({ quantisation: null }, /packed weights \(model.layers.0.mlp.down_proj.qweight\), but neither quantization_config/, NotAvailableError);
  });

  it("act-order: which column, and what to do", async () => {
    const groups = new Int32Array(256).map((_, column) => column % 2);
    const order = { data: new Uint8Array(groups.buffer) };
    const marked = await inspectModel(packedFiles(packed, { quantisation: { desc_act: true } }));
    expect(marked.quantisation).toBe("GPTQ with act-order, 4 bits, groups of 128");
    await (await loadModel(packedFiles(packed, { quantisation: { desc_act: true } }), { backend: referenceBackend(), contextLength: 64 })).close();
    const converting = convertModel(packedFiles(packed, replaced("g_idx", order)), { to: "gguf", out: join(tmpdir(), "infllm-act-order.gguf") });
    await expect(converting).rejects.toThrow(/act-order/);
    await refuses(replaced("g_idx", order), /g_idx puts column 1 of model.layers.1.mlp.down_proj into group 1.*act-order.*infllm quantize/, UnsupportedError);
  });

  it("a bias that the model has no place for, unless it is zero", async () => {
    const bias = (value: number): PackedChanges => ({
      tensors: { [`${module}.bias`]: { dtype: "f32", shape: [128], data: new Uint8Array(new Float32Array(128).fill(value).buffer) } },
    });
    await refuses(bias(0.5), /down_proj.bias is not zero/);
    await (await loadModel(packedFiles(packed, bias(0)), { backend: referenceBackend(), contextLength: 64 })).close();
  });

  it("scales that f16 cannot hold, in the tensor's name", async () => {
    const scales = { dtype: "f32" as const, data: new Uint8Array(new Float32Array(256).fill(1e-9).buffer) };
    const loading = loadModel(packedFiles(packed, replaced("scales", scales)), { backend: referenceBackend(), contextLength: 64 });
    await expect(loading).rejects.toThrow(/down_proj.scales holds the scale 9.9.*e-10 as f32, which f16 cannot hold exactly/);
  });

  it("takes the config that AutoGPTQ once wrote beside it", async () => {
    const older = { "quantize_config.json": { bits: 4, group_size: 128, desc_act: false, sym: false } };
    const description = await inspectModel(packedFiles(packed, { quantisation: null, files: older }));
    expect(description.quantisation).toBe("GPTQ, 4 bits, groups of 128");
  });
});
