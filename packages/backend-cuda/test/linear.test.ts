/** Which kernels or library calls a product becomes, against fakes of the driver and of cuBLASLt. */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { WeightDType } from "@infllm/tensor";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { buildFake, loadFake } from "./fake-driver.ts";
import type { Fake } from "./fake-driver.ts";

let fake: Fake;
let library: string;
let libraryLog: () => string[];
let resetLibrary: () => void;

beforeAll(async () => {
  fake = await loadFake(buildFake());
  library = join(mkdtempSync(join(tmpdir(), "fake-cublaslt-")), "libcublasLt.so");
  const source = fileURLToPath(new URL("fake-libcuda/fake-cublaslt.c", import.meta.url));
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-o", library, source]);
  const opened = fake.driver.open(library);
  const text = opened.declare("const char *lt_log()") as () => string;
  libraryLog = () => text().split("\n").filter((line) => line !== "");
  resetLibrary = opened.declare("void lt_reset()") as () => void;
});
beforeEach(() => {
  fake.reset();
  resetLibrary();
});
afterEach(() => vi.unstubAllEnvs());

interface Product {
  readonly rows: number;
  readonly columns?: number;
  readonly outs: number;
  readonly dtype?: WeightDType;
  readonly out?: "bf16" | "f32";
  readonly bias?: boolean;
  /** Elements from one row of x to the next. */
  readonly stride?: number;
}

/** The launches of one product; column views make odd strides. */
async function launchesOf({ rows, columns = 4096, outs, dtype = "bf16", out = "bf16", bias = false, stride = columns }: Product): Promise<string[]> {
  const backend = fake.open();
  const weight = backend.neural.allocateWeight(outs, columns, dtype);
  const x = backend.allocate("bf16", [rows, stride]).view({ rows: [0, rows], columns: [0, columns] });
  const before = fake.log().length;
  backend.neural.linear({ x, weight, out: backend.allocate(out, [rows, outs]), ...(bias && { bias: backend.allocate("f32", [outs]) }) });
  const launches = fake.log().slice(before).filter((line) => line.startsWith("launch "));
  await backend.close();
  expect(fake.live()).toBe(0);
  return launches.map((line) => line.slice("launch ".length));
}
const namesOf = (launches: readonly string[]): string[] => launches.map((line) => line.split(" ")[0] ?? "");

describe("products without a library", () => {
  beforeEach(() => vi.stubEnv("INFLLM_CUBLASLT", "none"));

  it("read every weight once up to 8 rows", async () => {
    expect(namesOf(await launchesOf({ rows: 8, outs: 4096 }))).toEqual(["linear_stream_bf16_bf16_8"]);
  });

  it("with 4 bits go in whole numbers up to 2 rows, in blocks that suit the matrix", async () => {
    const kernels: string[] = [];
    for (const [rows, columns, outs] of [[1, 4096, 4096], [2, 4096, 4608], [1, 16384, 4096], [2, 16384, 4096], [2, 20480, 4096], [4, 4096, 32768], [4, 4096, 4096]] as const) {
      const [launch = ""] = await launchesOf({ rows, columns, outs, dtype: "q4_g128" });
      kernels.push(launch.split(" ")[0] ?? "");
      expect(launch).toContain("overlap");
    }
    const whole = ["2", "2_even", "2_long", "2_long", "2_even", "4"].map((name) => `linear_whole_q4_g128_bf16_${name}`);
    expect(kernels).toEqual([...whole, "linear_stream_q4_g128_bf16_4_long"]);
  });

  it("take norms and additions along for few rows of 4 bits, and nothing else", async () => {
    const backend = fake.open();
    const { fused } = backend.neural;
    const [fourBit, plain] = [backend.neural.allocateWeight(4096, 4096, "q4_g128"), backend.neural.allocateWeight(4096, 4096, "bf16")];
    expect([1, 2, 3].map((rows) => fused?.suits(fourBit, rows))).toEqual([true, true, false]);
    expect(fused?.suits(plain, 1)).toBe(false);
    expect(fused?.suits(backend.neural.allocateWeight(40, 4096, "q4_g128"), 1)).toBe(false);
    const [x, out] = [backend.allocate("bf16", [3, 4096]), backend.allocate("bf16", [3, 4096])];
    expect(() => fused?.addLinear({ x, weight: fourBit, out, scale: 1 })).toThrow(/addLinear: no kernel takes 3 rows with a q4_g128 weight \[4096, 4096\]\. Ask suits first/);
    await backend.close();
  });

  it("are split or tiled on Hopper, in clusters", async () => {
    const [split = ""] = await launchesOf({ rows: 64, outs: 1024 });
    expect(split).toMatch(/^linear_split_bf16_64 \[\d+ 1 1\] .* cluster [248]$/);
    const [tiles = ""] = await launchesOf({ rows: 2048, outs: 1024 });
    expect(tiles).toMatch(/^linear_(tiles|split)_bf16_\d+ \[\d+ 1 1\] .* cluster 2$/);
  });

  it("convert other weights first, and then wait for that", async () => {
    const launches = await launchesOf({ rows: 64, outs: 1024, dtype: "q4_k", bias: true, out: "f32" });
    expect(namesOf(launches)).toEqual(["embed_q4_k_bf16", "linear_split_bf16_64"]);
    expect(launches.join()).not.toContain("overlap");
  });

  it("take the kernels for any GPU where rows of x are not aligned, or the GPU is another", async () => {
    expect(namesOf(await launchesOf({ rows: 64, columns: 100, outs: 128, stride: 101 }))).toEqual(["linear_many_bf16_bf16"]);
    fake.device(1, 80, 2 ** 30);
    expect(namesOf(await launchesOf({ rows: 64, outs: 128 }))).toEqual(["linear_many_bf16_bf16"]);
  });
});

describe("products with cuBLASLt", () => {
  beforeEach(() => vi.stubEnv("INFLLM_CUBLASLT", library));

  it("are the library's from 9 rows on", async () => {
    expect(await launchesOf({ rows: 9, outs: 128 })).toEqual([]);
    expect(libraryLog()).toEqual(["product epilogue 1 bias none type -1"]);
  });

  it("have their bias added there: in f32 as it is, beside 16-bit results rounded first", async () => {
    expect(await launchesOf({ rows: 64, outs: 128, bias: true, out: "f32" })).toEqual([]);
    expect(namesOf(await launchesOf({ rows: 64, outs: 128, bias: true }))).toEqual(["embed_f32_bf16"]);
    expect(libraryLog()).toEqual(["product epilogue 4 bias set type 0", "product epilogue 4 bias set type 14"]);
  });

  it("are ours when the library has no algorithm", async () => {
    expect(namesOf(await launchesOf({ rows: 64, outs: 63, bias: true }))).toEqual(["linear_split_bf16_64"]);
    fake.device(1, 80, 2 ** 30);
    expect(namesOf(await launchesOf({ rows: 64, outs: 63 }))).toEqual(["linear_many_bf16_bf16"]);
    expect(libraryLog()).toEqual([]);
  });
});
