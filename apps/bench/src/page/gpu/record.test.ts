import { readFile } from "node:fs/promises";
import { FormatError } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { chartSvg } from "../chart.ts";
import { gpuPart } from "../sections/gpus.ts";
import { readGpuRecord } from "./record.ts";

const times = (milliseconds: number) => ({ medianMs: milliseconds, leastMs: 0, mostMs: 9 });
const cuda = {
  date: "2026-01-02", device: "NVIDIA X", computeCapability: "9.0", driver: "13.0",
  check: { f16: { cases: 4, passed: 4 }, bf16: { cases: 4, passed: 3 } },
  model: { prompts: [{ tokens: 24, equalTokens: 24 }, { tokens: 20, equalTokens: 19 }] },
  bench: { lengths: [{ length: 65_536, prefill: { compress: times(1), select: times(2), attendBlocks: times(5), attendDense: times(40) }, decode: { sparse: times(1), dense: times(3) } }] },
  lab: { table: [{ what: "speed", measured: 1.1, unit: "x", better: "more", must: 1, aim: 2, mustMet: true, aimMet: false }] },
};
const webgpu = {
  date: "2026-01-03", adapter: "gpu-y", driver: "d",
  bench: { f16: { timings: [
    { what: "linear 1 x 64 x 64, f16 weight, f16", wallMs: 9, gpuMs: 1, tflops: 0.5 },
    { what: "prefill, dense attention, 32/2 heads of 128, 16384 tokens", wallMs: 9, gpuMs: 8 },
    { what: "prefill, selection, 32/2 heads of 128, 16384 tokens", wallMs: 1 },
    { what: "prefill, sparse attention, 32/2 heads of 128, 16384 tokens", wallMs: 3, gpuMs: 3 },
    { what: "decode, dense, a layer of 32, 32/2 heads of 128, 16384 tokens", wallMs: 1, gpuMs: 0.4 },
    { what: "decode, sparse, selection included, a layer of 32, 32/2 heads of 128, 16384 tokens", wallMs: 1, gpuMs: 0.5 },
  ] } },
};
const read = (record: unknown) => readGpuRecord(JSON.stringify(record), "verified.json");

describe("the record of a GPU", () => {
  it("of cuda", () => {
    const { backend, device, checks, layer, aims } = read(cuda);
    expect([backend, device]).toEqual(["cuda", "NVIDIA X"]);
    expect(checks).toEqual(["4 of 4 conformance cases in f16", "3 of 4 conformance cases in bf16", "43 of 44 greedy tokens of the embedded model"]);
    expect(layer).toEqual([{ phase: "prefill", length: 65_536, select: 0.002, sparse: 0.008, dense: 0.04 }, { phase: "decode", length: 65_536, sparse: 0.001, dense: 0.003 }]);
    expect(aims).toMatchObject([{ device: "NVIDIA X", aims: [{ what: "speed", measured: "1.1 x", must: "≥ 1 x", aim: "≥ 2 x", met: "must, not the aim" }] }]);
  });

  it("names the card of each part, and leaves out what a part did not measure", () => {
    const row = { what: "speed", unit: "ms", better: "less", must: 3, aim: 2, mustMet: false, aimMet: false };
    const { aims } = read({ ...cuda, e2e: { run: { device: "NVIDIA Y" }, table: [{ ...row, measured: 4 }, row] } });
    expect(aims.map(({ device, aims: { length } }) => [device, length])).toEqual([["NVIDIA X", 1], ["NVIDIA Y", 1]]);
    expect(aims[1]?.aims[0]).toEqual({ what: "speed", measured: "4 ms", must: "≤ 3 ms", aim: "≤ 2 ms", met: "no" });
  });

  it("of webgpu, by GPU time where there is one", () => {
    const { layer, products } = read(webgpu);
    expect(layer).toEqual([{ phase: "prefill", length: 16_384, dense: 0.008, sparse: 0.004, select: 0.001 }, { phase: "decode", length: 16_384, dense: 0.0004, sparse: 0.0005 }]);
    expect(products).toEqual([{ what: "1 x 64 x 64, f16 weight, f16", seconds: 0.001, flopPerSecond: 5e11 }]);
  });

  it("is refused by file and field", () => {
    expect(() => read({ date: "2026" })).toThrow(FormatError);
    expect(() => read({ date: "2026" })).toThrow(/verified\.json is no record of a run on a GPU/);
    expect(() => read({ ...cuda, bench: { lengths: [{ length: "x" }] } })).toThrow(/verified\.json, bench, lengths\[0\] has "x" in the field "length"; expected a number/);
    expect(() => readGpuRecord("{", "verified.json")).toThrow(/verified\.json is no JSON/);
  });

  it("becomes a section with card, day, checks and a chart", async () => {
    const part = gpuPart([read(cuda), read(webgpu)]);
    expect(part?.section.text.join("\n")).toMatch(/cuda: NVIDIA X, .*, 2026-01-02\. Right in that run: 4 of 4/);
    expect(part?.section.text.join("\n")).toContain("webgpu: gpu-y, d, 2026-01-03. Nothing was checked in that run.");
    expect(part?.section.tables[0]?.rows[0]).toEqual(["cuda, NVIDIA X", "prefill", "64k", "40.0 ms", "2.00 ms", "8.00 ms", "5.00x"]);
    expect(part?.headlines.map(({ value }) => value)).toEqual(["5.0x", "2.0x"]);
    for (const { spec } of part?.section.charts ?? []) expect(await chartSvg(spec)).toContain("<svg");
    expect(gpuPart([])).toBeUndefined();
  });

  it.each(["cuda", "webgpu"])("is what the %s backend keeps", async (backend) => {
    const text = await readFile(new URL(`../../../../../packages/backend-${backend}/verified.json`, import.meta.url), "utf8");
    expect(readGpuRecord(text, "verified.json")).toMatchObject({ backend, layer: expect.arrayContaining([expect.objectContaining({ phase: "prefill", length: 65_536 })]) as unknown });
  });
});
