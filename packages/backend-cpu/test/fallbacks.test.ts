import { afterEach, describe, expect, it, vi } from "vitest";
import { sparseConfig } from "@infllm/block-selection";
import { ConfigError, NotAvailableError } from "@infllm/tensor";
import { cpuBackend, referenceBackend } from "../src/index.ts";
import type { CpuBackend, CpuOptions } from "../src/index.ts";
import { needWebAssembly } from "../src/wasm/engine.ts";
import { supports } from "../src/wasm/kernels.ts";
import { runLayer } from "./layer.ts";
import type { LayerCase } from "./layer.ts";

const test: LayerCase = {
  seed: 3,
  length: 200,
  kvHeads: 2,
  group: 4,
  headDim: 16,
  dtype: "f32",
  config: sparseConfig({ kernelSize: 8, kernelStride: 4, blockSize: 16, initBlocks: 1, windowSize: 16, topk: 4, denseLen: 0 }),
  chunks: [150, 1, 49],
};

/** Runs a layer, holds it against the reference and closes the backend. */
async function works(backend: CpuBackend): Promise<void> {
  const [actual, expected] = [await runLayer(backend, test), await runLayer(referenceBackend(), test)];
  expect(actual.indices).toEqual(expected.indices);
  for (const name of ["dense", "sparse"] as const) {
    // Outputs are means of normals: below 8. Their sums run over at most 200 tokens, products over 16 elements.
    const worst = actual[name].reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[name][i] as number))), 0);
    expect(worst).toBeLessThan(8 * (200 + 16) * 2 ** -24);
  }
  await backend.close();
}

/** `WebAssembly` whose `validate` refuses modules of this length: how an engine without these instructions answers. */
function withoutInstructions(...lengths: number[]): void {
  const { Memory, Instance, validate, compile } = needWebAssembly();
  const lacking = (bytes: Uint8Array): boolean => !lengths.includes(bytes.length) && validate(bytes);
  vi.stubGlobal("WebAssembly", { Memory, Instance, compile, validate: lacking });
}

/** Bytes of the probe modules in `kernels.ts`. */
const SIMD_PROBE = 29;
const RELAXED_PROBE = 40;

const said = (backend: CpuBackend): string => backend.capabilities.limitations.join("\n");

describe("fallbacks", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it("uses the best there is and says what is missing", async () => {
    const backend = await cpuBackend({ threads: 2 });
    expect(backend.capabilities.description).toContain("2 threads");
    if (supports("relaxed")) expect(backend.capabilities.limitations).toEqual([]);
    else expect(said(backend)).toMatch(/^No relaxed SIMD/);
    await works(backend);
  });

  it("no SharedArrayBuffer: one thread, and how to get more", async () => {
    vi.stubGlobal("SharedArrayBuffer", undefined);
    const backend = await cpuBackend({ threads: 2 });
    expect(backend.capabilities.description).toContain("1 thread");
    expect(said(backend)).toMatch(/One thread only.*Cross-Origin-Opener-Policy/);
    await works(backend);
  });

  it("workers that may not start: one thread", async () => {
    const { getBuiltinModule } = process;
    function Forbidden(): never {
      throw new Error("Access to this API has been restricted");
    }
    vi.spyOn(process, "getBuiltinModule").mockImplementation(((name: string) =>
      name === "node:worker_threads" ? { Worker: Forbidden } : getBuiltinModule(name)) as typeof getBuiltinModule);
    const backend = await cpuBackend({ threads: 3 });
    expect(backend.capabilities.description).toContain("1 thread");
    expect(said(backend)).toMatch(/One thread only: a worker thread could not start.*restricted.*--allow-worker/);
    await works(backend);
  });

  it("no relaxed SIMD: plain SIMD", async () => {
    withoutInstructions(RELAXED_PROBE);
    expect(supports("simd")).toBe(true);
    const backend = await cpuBackend({ threads: 1 });
    expect(backend.capabilities.description).toContain("WebAssembly SIMD");
    expect(said(backend)).toMatch(/No relaxed SIMD/);
    await works(backend);
    await expect(cpuBackend({ simd: "relaxed" })).rejects.toThrow(NotAvailableError);
  });

  it("no SIMD at all: the plain reference", async () => {
    withoutInstructions(SIMD_PROBE, RELAXED_PROBE);
    expect(supports("simd")).toBe(false);
    const backend = await cpuBackend();
    expect(said(backend)).toMatch(/Plain loops.*no WebAssembly SIMD/);
    expect(backend.name).toBe("cpu");
    await works(backend);
    await expect(cpuBackend({ simd: "simd" })).rejects.toThrow(NotAvailableError);
  });

  it("no WebAssembly at all: the plain reference", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    const backend = await cpuBackend();
    expect(said(backend)).toMatch(/Plain loops/);
    await works(backend);
  });

  it("an engine that reserves little memory: works in less and says so", async () => {
    const { Memory, Instance, validate, compile } = needWebAssembly();
    function Small(descriptor: { initial: number; maximum: number; shared: boolean }) {
      if (descriptor.maximum > 4096) throw new RangeError("could not allocate memory");
      return new Memory(descriptor);
    }
    vi.stubGlobal("WebAssembly", { Memory: Small, Instance, validate, compile });
    const backend = await cpuBackend({ threads: 1 });
    expect(said(backend)).toMatch(/At most 256 MiB/);
    await works(backend);
  });

  it("asked for: one kind of instructions, or none", async () => {
    const simd = await cpuBackend({ simd: "simd", threads: 1 });
    expect(simd.capabilities.description).toContain("WebAssembly SIMD, 1 thread");
    await simd.close();
    const none = await cpuBackend({ simd: "none" });
    expect(said(none)).toMatch(/Plain loops.*simd is "none"/);
    await none.close();
  });

  it("refuses options outside their range", async () => {
    const wrong: CpuOptions[] = [{ threads: 0 }, { threads: 1.5 }, { threads: 1000 }, { memoryLimit: 10 }, { memoryLimit: NaN }];
    for (const options of wrong) await expect(cpuBackend(options)).rejects.toThrow(ConfigError);
    await expect(cpuBackend({ simd: "fast" as "auto" })).rejects.toThrow(/"auto", "relaxed", "simd" or "none"/);
  });
});
