import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { convertModel, loadModel } from "@infllm/model";
import { openSafetensors } from "@infllm/tensor";
import { afterEach, describe, expect, it } from "vitest";
import { shapeNamed, type ModelShape } from "../shapes.ts";
import { e2eCells } from "./cells.ts";
import { measureApart, measureCommand } from "./measure.ts";
import { timedPrompt } from "./prompt.ts";
import type { E2eSpec } from "./spec.ts";
import { syntheticModel } from "./synthetic-model.ts";

const tiny: ModelShape = { ...shapeNamed("embedded"), name: "tiny", hidden: 32, intermediate: 64, heads: 4, kvHeads: 2, headDim: 8, vocabulary: 4100, layers: 3 };
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
    const model = await loadModel(syntheticModel(tiny, 512, { layers: 2 }), { backend, contextLength: 64 });
    expect(model.description).toMatchObject({ layers: 2, hidden: 32, heads: 4, kvHeads: 2, vocabulary: 4100, tiedEmbeddings: true });
    const { logProbs } = await model.score(timedPrompt(20, 4100, 1));
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
    expect(model.description).toMatchObject({ layers: 3, vocabulary: 4100 });
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

describe("a measurement in a process of its own", () => {
  const spec: E2eSpec = { engine: "infllm", attention: "dense", model: { kind: "source", source: "embedded" }, backend: "cpu", length: 16, decodeTokens: 1, runs: 1, seed: 1 };
  const running = async (script: string, signal = context.signal, onProgress = () => {}) => {
    const program = join(await folder(), "program.mjs");
    await writeFile(program, script);
    return measureApart(spec, onProgress, signal, program);
  };

  it("is given its specification, tells its progress and answers", async () => {
    const seen: unknown[] = [];
    const figures = await running(
      `process.once("message", (spec) => {
        process.send({ kind: "progress", label: "run", done: 1, total: 2 });
        process.send({ kind: "figures", figures: { tokens: [spec.length], device: process.argv[2] } }, () => process.disconnect());
      });`,
      context.signal,
      (...progress: unknown[]) => void seen.push(progress),
    );
    expect(figures).toEqual({ tokens: [16], device: measureCommand });
    expect(seen).toEqual([["run", 1, 2]]);
  });

  it.each([
    ["its own message", `process.once("message", () => process.send({ kind: "error", message: "no room" }, () => process.disconnect()));`, "no room"],
    ["an exit code and what it complained of", `console.error("segments"); process.exitCode = 3;`, /ended by exit code 3\. segments/],
    ["a signal", `process.kill(process.pid, "SIGKILL");`, "ended by SIGKILL (out of memory?)"],
  ])("fails with %s", async (_, script, message) => {
    await expect(running(script)).rejects.toThrow(message);
  });

  it("ends when the run is stopped", async () => {
    const stop = new AbortController();
    const stopped = running("setInterval(() => {}, 1000);", stop.signal);
    setTimeout(() => stop.abort(), 200);
    await expect(stopped).rejects.toThrow("aborted");
  });
});
