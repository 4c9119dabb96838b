import { referenceBackend } from "@infllm/backend-cpu";
import { fromF32, toF32 } from "@infllm/tensor";
import type { EncodableDType } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { LoadOptions } from "../src/index.ts";
import type { ModelFiles } from "../src/formats/model-files.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";
import type { RandomModel } from "./support/random-model.ts";
import { plainLogits } from "./support/plain-forward.ts";

const model = randomModel("qwen2", { hidden_size: 128, intermediate_size: 128, head_dim: 32 });
const ids = Array.from({ length: 30 }, (_, i) => 4 + ((i * 53) % 250));

/** The model whose matrices went through a type and back. */
function rounded(dtype: EncodableDType, only: (name: string) => boolean = () => true): RandomModel {
  const tensors = [...model.tensors].map(([name, { shape, values }]) => {
    const kept = shape.length === 1 || !only(name);
    return [name, { shape, values: kept ? values : toF32(dtype, fromF32(dtype, values), values.length) }] as const;
  });
  return { config: model.config, tensors: new Map(tensors) };
}

/** Largest difference to the plain forward pass over `expected`, relative to its largest logit. */
async function error(files: ModelFiles, expected: RandomModel, options: Partial<LoadOptions> = {}): Promise<number> {
  const plain = plainLogits(expected, ids, 64).at(-1) ?? [];
  const loaded = await loadModel(files, { backend: referenceBackend(), contextLength: 64, ...options });
  await collect(loaded, ids, { maxTokens: 1 });
  const logits = await loaded.lastLogits();
  await loaded.close();
  return Math.max(...plain.map((value, i) => Math.abs(value - (logits[i] ?? NaN)))) / Math.max(...plain.map(Math.abs));
}

describe("weights of every type compute with exactly the numbers they hold", () => {
  it("as stored, also where the matrices of a stack differ", async () => {
    const name = "model.layers.0.self_attn.v_proj.weight";
    const { shape, values } = model.tensors.get(name) ?? { shape: [], values: new Float32Array() };
    const mixed = { [name]: { dtype: "f16" as const, shape, data: fromF32("f16", values) } };
    expect(await error(hfFiles(model), model)).toBeLessThan(1e-5);
    expect(await error(hfFiles(model, { tensors: mixed }), rounded("f16", (other) => other === name))).toBeLessThan(1e-5);
  });

  for (const weights of ["f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_g128"] as const) {
    it(`converted to ${weights} while loading`, async () => {
      expect(await error(hfFiles(model), rounded(weights), { weights })).toBeLessThan(1e-5);
    });
  }
});
