/** What the package tells about a machine before and after opening its GPU. */
import { NotAvailableError } from "@infllm/tensor";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { loadDriver } from "../src/driver.ts";
import { readKernels } from "../src/module.ts";
import { probe } from "../src/probe.ts";
import { buildFake, fakeKernels, loadFake } from "./fake-driver.ts";
import type { Fake } from "./fake-driver.ts";

let fake: Fake;
let library = "";
beforeAll(async () => {
  library = buildFake();
  fake = await loadFake(library);
});
beforeEach(() => {
  fake.reset();
  vi.stubEnv("INFLLM_CUBLASLT", "none");
});
afterEach(() => vi.unstubAllEnvs());

const driver = () => Promise.resolve(fake.driver);
const kernels = () => Promise.resolve(fakeKernels());

describe("probe", () => {
  it("lists every GPU and finds nothing missing", async () => {
    fake.device(2, 90, 2 ** 30);
    const { devices, missing, cublasLt } = await probe(driver, kernels);
    expect(devices).toMatchObject([
      { ordinal: 0, name: "Fake GPU 0", major: 9, minor: 0, memoryBytes: 2 ** 30, driverVersion: "13.0" },
      { ordinal: 1, name: "Fake GPU 1" },
    ]);
    expect({ missing, cublasLt }).toEqual({ missing: [], cublasLt: undefined });
  });

  it("names all that is missing, not only the first", async () => {
    const unbuilt = () => readKernels(new URL("no-such-folder/", import.meta.url));
    const { devices, missing } = await probe(() => loadDriver("libno-such-cuda.so.1"), unbuilt);
    expect(devices).toEqual([]);
    expect(missing).toEqual([expect.stringMatching(/found no libno-such-cuda/), expect.stringMatching(/were not built.*npm run build:cuda$/)]);
  });

  it("lists GPUs that are too old, and says so", async () => {
    fake.device(1, 75, 2 ** 30);
    const { devices, missing } = await probe(driver, kernels);
    expect(devices).toMatchObject([{ major: 7, minor: 5 }]);
    expect(missing).toEqual([expect.stringContaining("no GPU of compute capability 8.0")]);
  });

  it("passes on why the driver does not start", async () => {
    fake.fail("cuInit", 100);
    expect((await probe(driver, kernels)).missing).toEqual([expect.stringContaining("CUDA_ERROR_NO_DEVICE while starting the driver")]);
  });

  it("hides no error that is not about the machine", async () => {
    await expect(probe(driver, () => Promise.reject(new TypeError("a bug")))).rejects.toThrow("a bug");
  });

  it("names the library of dense products", async () => {
    // Any library that loads will do: it is opened here, not called.
    vi.stubEnv("INFLLM_CUBLASLT", library);
    expect(await probe(driver, kernels)).toMatchObject({ cublasLt: library, missing: [] });
    vi.stubEnv("INFLLM_CUBLASLT", "/nowhere/libcublasLt.so.13");
    const { cublasLt, missing } = await probe(driver, kernels);
    expect(cublasLt).toBeUndefined();
    expect(missing).toEqual([expect.stringMatching(/INFLLM_CUBLASLT is \/nowhere.* does not load.*or "none"/)]);
  });
});

describe("capabilities.limitations", () => {
  const products = async (): Promise<string[]> => {
    const backend = fake.open();
    await backend.close();
    return backend.capabilities.limitations.filter((text) => text.includes("dense products"));
  };

  it("say whose products are used where cuBLASLt is not", async () => {
    expect(await products()).toEqual([expect.stringContaining("INFLLM_CUBLASLT is none")]);
    vi.stubEnv("INFLLM_CUBLASLT", library);
    expect(await products()).toEqual([]);
  });

  it("keep silent about a library that was named and does not load: opening fails, and gives everything back", () => {
    vi.stubEnv("INFLLM_CUBLASLT", "/nowhere/libcublasLt.so.13");
    expect(() => fake.open()).toThrow(NotAvailableError);
    expect(fake.live()).toBe(0);
  });
});
