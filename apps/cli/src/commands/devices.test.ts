import { probeCuda } from "@infllm/backend-cuda";
import { probeWebGpu } from "@infllm/backend-webgpu";
import { describe, expect, it } from "vitest";
import { infllm } from "../../test/harness.ts";
import { describeBackend } from "./devices.ts";

const device = {
  ordinal: 0, name: "Some GPU", major: 9, minor: 0, multiprocessors: 132, sharedBytes: 232_448, memoryBytes: 80 * 2 ** 30, driverVersion: "13.0",
};
const gpu = { name: "cuda", hardware: { devices: [device], cublasLt: "libcublasLt.so.13", missing: [] } };
const paths = [
  { op: "selectBlocks", prefill: "hopper", decode: "rows" },
  { op: "attendDense", prefill: "general", decode: "general" },
] as const;

describe("infllm devices", () => {
  it("names every backend, with the reason and the remedy where it is not usable", async () => {
    const { code, stdout, stderr } = await infllm(["devices"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^cpu +usable$/mu);
    const { missing } = await probeCuda();
    expect(stdout).toMatch(missing.length > 0 ? /^cuda +not usable\n(?: +GPU .*\n)*? +Why: /mu : /^cuda +usable\n +GPU 0: /mu);
    const { adapter } = await probeWebGpu();
    expect(stdout).toMatch(adapter === undefined ? /^webgpu +not usable\n +Why: /mu : /^webgpu +usable\n +GPU: /mu);
  });

  it("prints one JSON document", async () => {
    const { stdout } = await infllm(["devices", "--json"]);
    const { backends, machine } = JSON.parse(stdout);
    expect(backends.map((each: { name: string }) => each.name)).toEqual(["cpu", "cuda", "webgpu"]);
    expect(backends[0]).toMatchObject({ usable: true, capabilities: { ops: expect.arrayContaining(["neural"]) } });
    expect(backends[1].hardware).toEqual(await probeCuda());
    expect(backends[2].hardware).toEqual(await probeWebGpu());
    expect(machine.cores).toBeGreaterThan(0);
  });

  it("lists GPUs, the library of dense products and the kernels that attention takes", () => {
    const text = describeBackend({ ...gpu, usable: true, description: "Some GPU, bf16", paths }, 200);
    expect(text).toContain("GPU 0: Some GPU, compute capability 9.0, 80.0 GiB memory, driver for CUDA 13.0\n");
    expect(text).toContain("Dense products: cuBLASLt (libcublasLt.so.13)\n");
    expect(text).toContain("selectBlocks hopper in prefill and rows in decode; attendDense general. infllm inspect tells for others.");
    const { cublasLt: _, ...own } = gpu.hardware;
    expect(describeBackend({ ...gpu, usable: true, hardware: own }, 200)).toContain("Dense products: our own kernels\n");
  });

  it("tells all that is missing, and the GPUs that are there all the same", () => {
    const hardware = { ...gpu.hardware, missing: ["No kernels. Build them.", "Too old. Buy another."] };
    const lines = describeBackend({ ...gpu, usable: false, hardware, reason: "No kernels. Build them" }, 200).split("\n");
    expect(lines.map((line) => line.trim())).toEqual([
      "cuda    not usable",
      "GPU 0: Some GPU, compute capability 9.0, 80.0 GiB memory, driver for CUDA 13.0",
      "Why: No kernels. Build them.",
      "Why: Too old. Buy another.",
      "",
    ]);
  });

  it("names WebGPU's adapter with what it computes with, or why there is none", () => {
    const hardware = { adapter: "Some GPU", software: false, features: ["depth-clip-control", "shader-f16", "subgroups"] };
    expect(describeBackend({ name: "webgpu", usable: true, hardware }, 200)).toContain("GPU: Some GPU, shader-f16, subgroups\n");
    const none = { features: [], missing: "No GPU. Install a driver." };
    const text = describeBackend({ name: "webgpu", usable: false, hardware: none, reason: "No GPU. Install a driver" }, 200);
    expect(text).toBe("webgpu  not usable\n        Why: No GPU. Install a driver.\n");
  });

  it("keeps to the width of the terminal", () => {
    const report = { name: "cpu", usable: true, description: "word ".repeat(40), limitations: ["word ".repeat(40)] };
    for (const line of describeBackend(report, 50).split("\n")) expect(line.length).toBeLessThanOrEqual(50);
  });
});
