/** KV caches within what every WebGPU device binds at once: 128 MiB. */
import { BatchState, KvCache } from "@infllm/attention";
import { sparseConfig } from "@infllm/block-selection";
import { ConfigError, OutOfMemoryError } from "@infllm/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { webgpuBackend } from "../src/index.ts";
import { openNullDevice } from "./null-device.ts";

describe("a KV cache on a device with the default limits", async () => {
  const { device, close } = await openNullDevice();
  const backend = await webgpuBackend({ device });
  afterAll(async () => {
    await backend.close();
    close();
  });

  it("binds 128 MiB at once", () => expect(device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20));

  for (const [what, kvHeads, dtype, contextLength] of [
    ["Llama 3 8B", 8, "f16", 32768],
    ["Llama 3 8B", 8, "f32", 32768],
    ["MiniCPM4 8B", 2, "f16", 131072],
    ["MiniCPM4 8B", 2, "f32", 131072],
  ] as const) {
    it(`of ${what}'s shape in ${dtype} holds ${contextLength} tokens, and the ops bind it`, async () => {
      const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim: 128, contextLength, sparse: sparseConfig({}), dtype });
      const state = BatchState.allocate(backend, cache, { rows: 1, sequences: 1 });
      state.set([{ sequence: cache.addSequence(), count: 1 }]);
      const [layer] = cache.layers;
      if (layer === undefined) throw new Error("The cache has no layer.");
      const [k, q] = [backend.allocate("f32", [1, kvHeads * 128]), backend.allocate("f32", [1, 32 * 128])];
      backend.selection.appendKv({ k, v: k, cache: layer, batch: state.batch });
      backend.selection.compressKeys({ cache: layer, batch: state.batch });
      backend.attention.attendDense({ q, cache: layer, batch: state.batch, scale: 1, out: backend.allocate("f32", [1, 32 * 128]) });
      await backend.sync();
      state.release();
      cache.close();
    });
  }

  it("of 8 bits is refused, and names the types that there are", () => {
    const shape = { pages: 1, kvHeads: 1, headDim: 64, blockSize: 64, dtype: "q8" } as const;
    const message = "the webgpu backend has no kernels for a cache of q8; use f32, f16, bf16.";
    expect(() => backend.selection.allocateCache(shape)).toThrow(message);
    expect(() => backend.selection.cacheBytes(shape)).toThrow(message);
    expect(() => KvCache.allocate(backend, { layers: 1, kvHeads: 1, headDim: 64, contextLength: 64, dtype: "q8" })).toThrow(ConfigError);
  });

  it("beyond that says how large it is, what fits and what to change", () => {
    const allocate = () => KvCache.allocate(backend, { layers: 2, kvHeads: 8, headDim: 128, contextLength: 65536, dtype: "f32" });
    const before = backend.buffers();
    expect(allocate).toThrow(OutOfMemoryError);
    expect(allocate).toThrow(/KV cache \(1024 pages of 64 tokens\) needs 256 MiB.*128 MiB.*smaller context, or a 16-bit KV cache/s);
    expect(backend.buffers()).toBe(before);
  });
});
