/** Compiles every kernel in every variant, on Dawn's null backend: it validates shaders and pipelines and runs nothing. */
import { afterAll, describe, expect, it } from "vitest";
import { create } from "webgpu";
import { capabilityTypes } from "../src/capabilities.ts";
import { computeStage } from "../src/gpu-constants.ts";
import { variantName } from "../src/pipelines.ts";
import { allVariants, moduleOf } from "../src/variants.ts";

/** Overrides that launches give, at their extremes. */
const tiles = [{ TILE_ROWS: 32, HEAD_DIM: 128, LOADS: 8 }, { TILE_ROWS: 32, HEAD_DIM: 0 }, { TILE_ROWS: 4, HEAD_DIM: 64 }];
/** Kernels that are launched only where workgroups have this much memory (`choices` in variants.ts); all others fit WebGPU's defaults. */
const workgroupBytes: Readonly<Record<string, number>> = { "linear-tile": 49152, "linear-matrix": 49152 };
/** The null backend has the default limits, and checks them last. */
const tooMuchMemory = /total use of workgroup storage \((\d+) bytes\)/;

const extremes: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>> = {
  attend: [
    { TILE_ROWS: 32, HEAD_DIM: 128, LOADS: 8, STEPS: 2, VALUE_KEYS: 8 },
    { TILE_ROWS: 32, HEAD_DIM: 0, STEPS: 4, VALUE_KEYS: 4 },
    { TILE_ROWS: 16, HEAD_DIM: 64, LOADS: 8, STEPS: 1, VALUE_KEYS: 32 },
    { TILE_ROWS: 4, HEAD_DIM: 0, STEPS: 4, VALUE_KEYS: 8 },
  ],
  "linear-tile": [{ SLICE: 4 }, { SLICE: 8 }],
  "linear-matrix": [{ DEPTH: 32 }, { DEPTH: 64 }],
  "score-lse": tiles,
  "score-blocks": tiles.map((tile) => ({ ...tile, BLOCKS: 16 })),
};

describe("kernels", async () => {
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("Dawn's null backend gives no adapter.");
  const features = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as readonly string[];
  const device = await adapter.requestDevice({ requiredFeatures: features as readonly GPUFeatureName[] });
  const held = new Set([gpu]);
  afterAll(() => {
    device.destroy();
    held.clear();
  });

  for (const variant of allVariants(capabilityTypes.weights, capabilityTypes.caches)) {
    it(variantName(variant), async () => {
      const { code, bindings } = moduleOf(variant);
      const module = device.createShaderModule({ code });
      const { messages } = await module.getCompilationInfo();
      expect(messages.map(({ lineNum, message }) => `${code.split("\n")[lineNum - 1] ?? ""}: ${message}`)).toEqual([]);
      const layout = device.createPipelineLayout({
        bindGroupLayouts: [
          device.createBindGroupLayout({
            entries: bindings.map(({ index, kind }) => ({ binding: index, visibility: computeStage, buffer: { type: kind } })),
          }),
        ],
      });
      expect(bindings.map(({ index }) => index)).toEqual(bindings.map((_, i) => i));
      for (const constants of extremes[variant.kernel] ?? [{}]) {
        const made = device.createComputePipelineAsync({ layout, compute: { module, constants } });
        const bytes = await made.then(() => 0, (error: Error) => Number(tooMuchMemory.exec(error.message)?.[1] ?? raise(error)));
        expect(bytes).toBeLessThanOrEqual(workgroupBytes[variant.kernel] ?? 0);
      }
    });
  }
});

function raise(error: Error): never {
  throw error;
}
