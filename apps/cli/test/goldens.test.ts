/** `infllm attention` on files, held against what the original algorithm's oracle recorded. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenCases, loadGolden, makeInputs, type GoldenAnswers, type GoldenCase } from "@infllm/conformance";
import { bytesSource, hostF32, hostTensor, openSafetensors, writeSafetensors } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { infllm } from "./harness.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-goldens-"));
});
afterAll(() => rm(folder, { recursive: true }));

// The 8,336-query case has 136 MB of queries; the conformance suite holds backends against it without files.
const cases = (await goldenCases()).filter(({ name }) => name !== "prefill-default");

describe.each(cases.map((test) => [test.name, test] as const))("infllm attention on %s", (name, test) => {
  it("writes the recorded output, blocks and scores", async () => {
    const { rows, answers } = await loadGolden(name);
    const lse = test.config["lse"] === "exact" ? "exact" : "approx";
    const found = await runCommand(test, rows);
    expect(largestDifference(found.out, answers[lse].out)).toBeLessThan(1e-4 * largest(answers[lse].out));
    for (let i = 0; i < found.scores.length; i++) {
      const [ours, recorded] = [found.scores[i] ?? Number.NaN, answers[lse].scores[i] ?? Number.NaN];
      if (recorded === -Infinity) expect(ours).toBe(-Infinity);
      else expect(Math.abs(ours - recorded)).toBeLessThanOrEqual(1e-4 * recorded + 1e-7);
    }
    expect(unlikeRows(found, answers[lse], test)).toEqual([]);
  });
});

async function runCommand(test: GoldenCase, rows: readonly number[]): Promise<GoldenAnswers> {
  const at = (file: string): string => join(folder, file);
  const { q, k, v } = makeInputs(test);
  const { q_length: queries, kv_length: keys, heads, kv_heads: kvHeads, head_dim: headDim } = test;
  const tensors = {
    q: hostTensor("f32", [queries, heads, headDim], q),
    k: hostTensor("f32", [keys, kvHeads, headDim], k),
    v: hostTensor("f32", [keys, kvHeads, headDim], v),
  };
  await writeFile(at("in.safetensors"), writeSafetensors(tensors));
  await writeFile(at("sparse.json"), JSON.stringify(test.config));
  const files = ["--inputs", at("in.safetensors"), "--config", at("sparse.json"), "--out", at("out.safetensors")];
  const { code, stderr } = await infllm(["attention", ...files, "--mode", "sparse", "--rows", rows.join(",")]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const result = await openSafetensors(bytesSource(new Uint8Array(await readFile(at("out.safetensors")))));
  const numbers = async (name: string): Promise<Float32Array> => hostF32(await result.tensor(name));
  return {
    out: await numbers("out"),
    indices: Int32Array.from(await numbers("block_indices")),
    scores: await numbers("block_scores"),
  };
}

/** Rows whose blocks differ although the recorded scores of what was swapped are 1e-5 apart or more. */
function unlikeRows(found: GoldenAnswers, recorded: GoldenAnswers, test: GoldenCase): number[] {
  const blocks = Math.ceil(test.kv_length / Number(test.config["block_size"]));
  const rows = found.scores.length / blocks;
  const budget = found.indices.length / rows;
  return Array.from({ length: rows }, (_, row) => row).filter((row) => {
    const ours = new Set(found.indices.subarray(row * budget, (row + 1) * budget));
    const theirs = new Set(recorded.indices.subarray(row * budget, (row + 1) * budget));
    const swapped = [...[...ours].filter((block) => !theirs.has(block)), ...[...theirs].filter((block) => !ours.has(block))];
    const scores = swapped.map((block) => recorded.scores[row * blocks + block] ?? Number.NaN);
    const spread = Math.max(...scores) - Math.min(...scores);
    return swapped.length > 0 && !(spread < 1e-5 * Math.max(...scores));
  });
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}
