import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { convertModel, loadModel } from "@infllm/model";
import { openSafetensors } from "@infllm/tensor";
import { afterEach, describe, expect, it } from "vitest";
import { shapeNamed, type ModelShape } from "../shapes.ts";
import { e2eCells } from "./cells.ts";
import { timedPrompt } from "./prompt.ts";
import { syntheticModel } from "./synthetic-model.ts";

const tiny: ModelShape = { ...shapeNamed("embedded"), name: "tiny", hidden: 32, intermediate: 64, heads: 4, kvHeads: 2, headDim: 8, vocabulary: 300, layers: 3 };
const context = { signal: new AbortController().signal, progress: () => {} };

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});
async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "infllm-bench-"));
  folders.push(made);
  return made;
}

describe("a synthetic model", () => {
  it("has the stated shape, and weights that keep activations in range", async () => {
    const backend = referenceBackend();
    const model = await loadModel(syntheticModel(tiny, 512, 2), { backend, contextLength: 64 });
    expect(model.description).toMatchObject({ layers: 2, hidden: 32, heads: 4, kvHeads: 2, vocabulary: 300, tiedEmbeddings: true });
    const { logProbs } = await model.score(timedPrompt(20, 300, 1));
    expect([...logProbs.subarray(0, 19)].every((value) => value < 0 && value > -30)).toBe(true);
    await model.close();
    await backend.close();
  });

  it("gives the same bytes however they are read", async () => {
    const source = await syntheticModel(tiny, 512).open("model.safetensors");
    const whole = await source.read(0, source.size);
    for (const [from, to] of [[0, 9], [5, 1000], [source.size - 3, source.size], [1234, 98_765]] as const) {
      expect(await source.read(from, Math.min(to, source.size))).toEqual(whole.subarray(from, Math.min(to, source.size)));
    }
    const file = await openSafetensors(source);
    expect(file.tensors.get("model.layers.2.mlp.down_proj.weight")?.shape).toEqual([32, 64]);
    const norm = await file.tensor("model.norm.weight");
    expect(new Set(new Uint16Array(norm.data.slice().buffer))).toEqual(new Set([0x3f80]));
  });

  it("can be written as GGUF, for other engines", async () => {
    const out = join(await folder(), "tiny.gguf");
    await convertModel(syntheticModel(tiny, 512), { to: "gguf", dtype: "f16", out });
    const backend = referenceBackend();
    const model = await loadModel(out, { backend, contextLength: 64 });
    expect(model.description).toMatchObject({ layers: 3, vocabulary: 300 });
    expect(model.description.sparse).toMatchObject({ topk: 16, windowSize: 512 });
    await model.close();
    await backend.close();
  });
});

describe("e2e cells", () => {
  it("time both attentions of a model on the same token ids", async () => {
    const plan = { engines: ["infllm"] as const, model: { kind: "source", source: "embedded" } as const, weights: "stored", lengths: [40], backend: "cpu", threads: 1, decodeTokens: 3, runs: 2, seed: 1, apart: false };
    const cells = e2eCells(plan);
    expect(cells.map(({ cell }) => cell)).toEqual([{ engine: "infllm", attention: "dense", length: 40 }, { engine: "infllm", attention: "sparse", length: 40 }]);
    const found = [];
    for (const cell of cells) found.push(await cell.run(context));
    const [dense, sparse] = found;
    // All blocks of 40 tokens are seen, so sparse attention equals dense.
    expect(dense?.["tokens"]).toEqual(sparse?.["tokens"]);
    expect(dense?.["prefillRuns"]).toHaveLength(2);
    expect(dense).not.toHaveProperty("peakBytes");
  });
});
