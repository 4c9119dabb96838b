import { referenceBackend } from "@infllm/backend-cpu";
import { NotAvailableError } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { attentionPaths } from "./attention-paths.ts";
import { openBackend, probeBackends, type BackendEntry } from "./backends.ts";
import { BadUsageError } from "./exit-codes.ts";

const base = { package: "@infllm/no-such-package", install: "@infllm/no-such-package koffi", needs: "a GPU" };
const entry = (name: string, module: object, more: Partial<BackendEntry> = {}): BackendEntry => ({
  ...base, name, factory: "make", load: () => Promise.resolve(module), ...more,
});
const working = (name: string) => ({ make: () => ({ ...referenceBackend(), name }) });
const broken = { make: () => Promise.reject(new NotAvailableError("There is no koffi. Run: npm install koffi")) };
const absent = "@infllm/no-such-package";
const missing = entry("gpu", {}, { preferred: true, load: () => import(absent) });
const cpu = entry("cpu", working("cpu"), { threads: true });

describe("openBackend", () => {
  it("says what to install when the package is missing", async () => {
    const opening = openBackend("gpu", {}, [cpu, missing]);
    await expect(opening).rejects.toThrow(NotAvailableError);
    await expect(opening).rejects.toThrow(
      "The gpu backend is not usable: the package @infllm/no-such-package is not installed. To use it: " +
        "npm install @infllm/no-such-package koffi, beside this command; it needs a GPU. The cpu backend works everywhere.",
    );
  });

  it("passes on what a backend itself asks for, and adds nothing", async () => {
    await expect(openBackend("gpu", {}, [entry("gpu", broken)])).rejects.toThrow(
      "The gpu backend is not usable: There is no koffi. Run: npm install koffi. The cpu backend works everywhere.",
    );
  });

  it("tells a package of another version from a missing one", async () => {
    await expect(openBackend("gpu", {}, [entry("gpu", {})])).rejects.toThrow(/does not export make. To use it: .* in the version of this command/);
  });

  it("refuses names and options that no machine could satisfy", async () => {
    await expect(openBackend("gpo", {}, [cpu])).rejects.toThrow(BadUsageError);
    await expect(openBackend("gpu", { threads: 2 }, [entry("gpu", working("gpu"))])).rejects.toThrow("--threads is for the cpu backend");
  });
});

describe("auto", () => {
  it("takes a preferred backend where it works, whatever the order", async () => {
    const backend = await openBackend("auto", {}, [cpu, entry("slow", working("slow")), entry("gpu", working("gpu"), { preferred: true })]);
    expect(backend.name).toBe("gpu");
    await backend.close();
  });

  it.each([
    ["is not installed", missing],
    ["cannot run here", entry("gpu", broken, { preferred: true })],
  ])("takes the cpu, with its options, where the preferred one %s", async (_, gpu) => {
    const given: unknown[] = [];
    const make = (options: unknown) => (given.push(options), { ...referenceBackend(), name: "cpu" });
    const backend = await openBackend("auto", { threads: 3 }, [gpu, entry("cpu", { make }, { threads: true })]);
    expect([backend.name, given]).toEqual(["cpu", [{ threads: 3 }]]);
    await backend.close();
  });
});

describe("auto on a machine without a GPU", () => {
  const webgpu = (software: boolean) =>
    entry("webgpu", { ...working("webgpu"), look: () => Promise.resolve({ adapter: "llvmpipe", software, features: [] }) }, { preferred: true, probe: "look" });

  it.each([[true, "cpu"], [false, "webgpu"]])("where the CPU stands in for one (%s): %s", async (software, name) => {
    const backend = await openBackend("auto", {}, [cpu, webgpu(software)]);
    expect(backend.name).toBe(name);
    await backend.close();
  });

  it("takes the first of several that work", async () => {
    const cuda = entry("cuda", working("cuda"), { preferred: true });
    const backend = await openBackend("auto", {}, [cpu, cuda, webgpu(false)]);
    expect(backend.name).toBe("cuda");
    await backend.close();
  });
});

describe("probeBackends", () => {
  it("reports hardware and paths, and closes what it opened", async () => {
    let closed = 0;
    const hardware = { devices: [], missing: [] };
    const paths = [{ op: "attendDense", prefill: "general", decode: "rows" }] as const;
    const make = () => ({ ...referenceBackend(), paths: () => paths, close: () => Promise.resolve(void closed++) });
    const gpu = entry("gpu", { make, look: () => Promise.resolve(hardware) }, { probe: "look" });
    const shape = { heads: 16, kvHeads: 2, headDim: 64 };
    const found = await probeBackends(async (backend) => attentionPaths(backend, shape), [cpu, gpu, entry("plain", working("plain"), { hidden: true })]);
    expect(found).toMatchObject([{ name: "cpu", usable: true }, { name: "gpu", usable: true, hardware, paths }]);
    expect(found[0]).not.toHaveProperty("paths");
    expect(closed).toBe(1);
  });
});

describe("attentionPaths", () => {
  it("asks with the shape that the model's cache has on the backend", () => {
    const asked: unknown[] = [];
    const backend = { ...referenceBackend(), paths: (shape: unknown) => (asked.push(shape), []) };
    attentionPaths(backend, { heads: 32, kvHeads: 2, headDim: 128 });
    expect(asked).toEqual([{ dtype: "f32", headDim: 128, group: 16, kvHeads: 2, blockSize: 64, sparse: undefined }]);
  });
});
