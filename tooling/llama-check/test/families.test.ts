import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuBackend } from "@infllm/backend-cpu";
import { convertModel, loadModel } from "@infllm/model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hfFiles, randomModel } from "../../../packages/model/test/support/random-model.ts";
import { missing, openLlama } from "./llama.ts";

const longRope = {
  rope_type: "longrope",
  short_factor: Array.from({ length: 8 }, (_, i) => 1 + i * 0.05),
  long_factor: Array.from({ length: 8 }, (_, i) => 1 + i * 0.7),
  original_max_position_embeddings: 512,
};
const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 128 };

/** llama.cpp computes Qwen2 only with heads as wide as hidden / heads. */
const cases: readonly [name: string, type: string, changes: Record<string, unknown>][] = [
  ["Llama", "llama", {}],
  ["Llama, tied embeddings", "llama", { tie_word_embeddings: true }],
  ["Llama 3 RoPE scaling", "llama", { rope_scaling: llama3 }],
  ["linear RoPE scaling", "llama", { rope_scaling: { rope_type: "linear", factor: 4 } }],
  ["YaRN", "llama", { rope_scaling: yarn }],
  ["Qwen2", "qwen2", { head_dim: 8 }],
  ["Qwen2, YaRN", "qwen2", { head_dim: 8, rope_scaling: yarn }],
  ["Qwen3", "qwen3", {}],
  ["MiniCPM", "minicpm", {}],
  ["MiniCPM, LongRoPE, short factors", "minicpm", { rope_scaling: longRope }],
  ["MiniCPM, LongRoPE, long factors", "minicpm", { rope_scaling: { ...longRope, original_max_position_embeddings: 128 } }],
];

const CONTEXT = 256;
const ids = Array.from({ length: 90 }, (_, i) => 4 + ((i * 37) % 250));

/** Random models of every family: what we compute must be what llama.cpp computes from the file that we write. */
describe.skipIf(missing !== undefined)(`every family in llama.cpp${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  const backend = cpuBackend();
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "llama-check-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await (await backend).close();
  });

  for (const [name, type, changes] of cases) {
    it(name, async () => {
      const files = hfFiles(randomModel(type, changes));
      const out = join(folder, `${name.replaceAll(/\W+/g, "-")}.gguf`);
      await convertModel(files, { to: "gguf", dtype: "f32", out });
      const llama = await openLlama(out, CONTEXT);
      const theirs = await llama.greedy(ids, 12);
      await llama.close();
      for (const source of [files, out]) {
        const ours = await loadModel(source, { backend: await backend, contextLength: CONTEXT });
        const session = ours.createSession();
        for await (const _ of session.generate(ids, { maxTokens: 1 })) continue;
        const probabilities = softmax(await ours.lastLogits());
        for (const [id, probability] of theirs.first) expect(probabilities[id]).toBeCloseTo(probability, 4);
        let tokens: readonly number[] = [];
        const options = { ignoreEos: true, maxTokens: 12 } as const;
        for await (const _ of session.generate(ids, { ...options, onFinish: (stats) => (tokens = stats.tokens) })) continue;
        expect(tokens).toEqual(theirs.tokens);
        await ours.close();
      }
    });
  }
});

function softmax(logits: Float32Array): number[] {
  const top = Math.max(...logits);
  const powers = [...logits].map((logit) => Math.exp(logit - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
