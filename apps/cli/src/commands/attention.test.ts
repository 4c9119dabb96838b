import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attendBlocksReference, attendDenseReference } from "@infllm/attention";
import { sparseConfig, sparseConfigToHf } from "@infllm/block-selection";
import { bytesSource, hostF32, hostTensor, openSafetensors, random, writeSafetensors, type HostTensor } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { infllm, type Outcome } from "../../test/harness.ts";

let folder = "";
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-attention-"));
});
afterAll(() => rm(folder, { recursive: true }));

const generator = random(7);
const f32 = (...shape: number[]): HostTensor =>
  hostTensor("f32", shape, generator.normals(shape.reduce((a, b) => a * b, 1)));

const sizes = { heads: 4, kvHeads: 2, headDim: 16, qLength: 40, kvLength: 300 };
const inputs = { q: f32(40, 4, 16), k: f32(300, 2, 16), v: f32(300, 2, 16) };
const config = sparseConfig({ kernelSize: 8, kernelStride: 4, blockSize: 16, windowSize: 32, topk: 3, denseLen: 256 });

interface Case {
  readonly tensors?: Record<string, HostTensor>;
  readonly config?: unknown;
  readonly args?: readonly string[];
}

/** Runs the command on given tensors; the result is left in `out.safetensors`. */
async function attention({ tensors = inputs, config: json = sparseConfigToHf(config), args = [] }: Case): Promise<Outcome> {
  await writeFile(at("in.safetensors"), writeSafetensors(tensors));
  await writeFile(at("config.json"), typeof json === "string" ? json : JSON.stringify(json));
  const files = ["--inputs", at("in.safetensors"), "--config", at("config.json"), "--out", at("out.safetensors")];
  return infllm(["attention", ...files, "--backend", "reference", ...args]);
}

async function readOutput(): Promise<Record<string, { shape: readonly number[]; data: Float32Array }>> {
  const file = await openSafetensors(bytesSource(new Uint8Array(await readFile(at("out.safetensors")))));
  const result: Record<string, { shape: readonly number[]; data: Float32Array }> = {};
  for (const [name, { shape }] of file.tensors) result[name] = { shape, data: hostF32(await file.tensor(name)) };
  return result;
}

const host = { q: hostF32(inputs.q), k: hostF32(inputs.k), v: hostF32(inputs.v), ...sizes };

describe("infllm attention", () => {
  it("writes the dense output of the chosen rows, in their order", async () => {
    const { code, stderr } = await attention({ args: ["--mode", "dense", "--rows", "5,0,39"] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { out, ...rest } = await readOutput();
    expect(Object.keys(rest)).toEqual([]);
    expect(out?.shape).toEqual([3, 4, 16]);
    const all = attendDenseReference(host);
    const wanted = [5, 0, 39].flatMap((row) => [...all.subarray(row * 64, (row + 1) * 64)]);
    wanted.forEach((value, index) => expect(out?.data[index]).toBeCloseTo(value, 5));
  });

  it("writes output, blocks and scores in sparse mode", async () => {
    const { code, stdout } = await attention({ args: ["--json"] });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      mode: "sparse",
      kvLength: 300,
      shapes: { out: [40, 4, 16], block_indices: [2, 40, 5], block_scores: [2, 40, 19] },
    });
    const { out, block_indices: blocks, block_scores: scores } = await readOutput();
    expect(scores?.shape).toEqual([2, 40, 19]);
    const blockIndices = Int32Array.from(blocks?.data ?? []);
    for (let at = 0; at < blockIndices.length; at += 5) {
      const chosen = [...blockIndices.subarray(at, at + 5)].filter((block) => block >= 0);
      expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
      expect(chosen[0]).toBe(0);
    }
    const wanted = attendBlocksReference({ ...host, blockIndices, blockSize: 16 });
    wanted.forEach((value, index) => expect(out?.data[index]).toBeCloseTo(value, 5));
  });

  it("switches by length in auto mode", async () => {
    const longer = { ...sparseConfigToHf(config), dense_len: 301 };
    const { stdout } = await attention({ config: longer, args: ["--json"] });
    expect(JSON.parse(stdout)).toMatchObject({ mode: "dense" });
  });

  it("reads F16 and BF16", async () => {
    const half = (tensor: HostTensor): HostTensor => hostTensor("f16", tensor.shape, new Uint16Array(tensor.data.length / 4).fill(0x3c00));
    const { code } = await attention({ tensors: { q: half(inputs.q), k: inputs.k, v: half(inputs.v) }, args: ["--rows", "0"] });
    expect(code).toBe(0);
    expect((await readOutput())["out"]?.data.every((value) => Math.abs(value - 1) < 1e-6)).toBe(true);
  });

  it("needs no config for dense mode", async () => {
    await attention({ args: ["--rows", "0"] });
    const args = ["attention", "--inputs", at("in.safetensors"), "--out", at("out.safetensors"), "--backend", "reference"];
    expect((await infllm([...args, "--mode", "dense", "--rows", "0"])).code).toBe(0);
    const { code, stderr } = await infllm(args);
    expect(code).toBe(2);
    expect(stderr).toContain("needs --config");
  });
});

const nan = hostTensor("f32", [300, 2, 16], Float32Array.from({ length: 9600 }, (_, i) => (i === 1234 ? Number.NaN : 1)));

describe("infllm attention refuses", () => {
  it.each<[string, Case, number, string]>([
    ["a missing tensor", { tensors: { q: inputs.q, k: inputs.k, value: inputs.v } }, 1, 'has no tensor "v"; q, k and v are needed, and it has:'],
    ["a wrong rank", { tensors: { ...inputs, q: f32(40, 64) } }, 1, "q has shape [40, 64]; [q_length, heads, head_dim] is needed"],
    ["an empty axis", { tensors: { ...inputs, q: f32(0, 4, 16) } }, 1, "no axis may be 0"],
    ["unequal k and v", { tensors: { ...inputs, v: f32(299, 2, 16) } }, 1, "must be equal"],
    ["unequal head_dim", { tensors: { ...inputs, q: f32(40, 4, 8) } }, 1, "head_dim 8 and k 16"],
    ["heads that do not divide", { tensors: { ...inputs, q: f32(40, 3, 16) } }, 1, "3 query heads do not divide among 2 KV heads"],
    ["more queries than keys", { tensors: { ...inputs, q: f32(301, 4, 16) } }, 1, "q has 301 positions and k 300"],
    ["a wrong dtype", { tensors: { ...inputs, q: hostTensor("i32", [40, 4, 16], new Int32Array(2560)) } }, 1, "q is I32; F32, F16 and BF16 are read"],
    ["NaN", { tensors: { ...inputs, k: nan } }, 1, "k holds NaN at [38, 1, 2]"],
    ["rows out of range", { args: ["--rows", "0,40"] }, 2, "--rows has 40, but q has 40 rows; allowed are 0 to 39"],
    ["rows that are no numbers", { args: ["--rows", "first"] }, 2, "whole number"],
    ["blocks that do not divide", { config: { kernel_size: 32, kernel_stride: 16, block_size: 60 } }, 2, "no multiple of kernelStride"],
    ["an unknown config key", { config: { top_k: 3 } }, 2, 'unknown key "top_k"'],
    ["a config that is no JSON", { config: "{oops" }, 1, "config.json is not JSON"],
    ["a wrong mode", { args: ["--mode", "sparsely"] }, 2, "Allowed choices are auto, dense, sparse"],
    ["an unwritable output", { args: ["--out", "/nowhere/out.safetensors"] }, 1, "/nowhere/out.safetensors cannot be written: there is no such file"],
    ["a missing input", { args: ["--inputs", "/nowhere/in.safetensors"] }, 1, "/nowhere/in.safetensors does not exist. Check the path."],
    ["a folder as input", { args: ["--inputs", "/"] }, 1, "/ is a folder, a file is needed"],
    ["threads for a backend without", { args: ["--threads", "2"] }, 2, "--threads is for the cpu backend"],
  ])("%s", async (_, given, exitCode, message) => {
    const { code, stdout, stderr } = await attention(given);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
    expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(2);
  });

  it("a truncated file", async () => {
    await attention({ args: ["--rows", "0"] });
    const whole = await readFile(at("in.safetensors"));
    await writeFile(at("cut.safetensors"), whole.subarray(0, whole.length - 100));
    const { code, stderr } = await attention({ args: ["--inputs", at("cut.safetensors")] });
    expect(code).toBe(1);
    expect(stderr).toContain("cut.safetensors");
  });

  it("calls without inputs or output", async () => {
    expect((await infllm(["attention"])).code).toBe(2);
    expect((await infllm(["attention", "--inputs", "x"])).stderr).toContain("--out");
  });
});

describe("INFLLM_DEBUG=1", () => {
  it("adds the stack to the message", async () => {
    const args = ["attention", "--inputs", "/nowhere", "--out", at("x"), "--mode", "dense"];
    expect((await infllm(args)).stderr.split("\n").length).toBe(2);
    expect((await infllm(args, { env: { INFLLM_DEBUG: "1" } })).stderr).toMatch(/\n\s+at /u);
  });
});
