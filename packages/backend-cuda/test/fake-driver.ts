/** Builds the fake driver library with the C compiler of this machine, and opens backends on it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBackend } from "../src/cuda-backend.ts";
import type { CudaBackend, CudaOptions } from "../src/cuda-backend.ts";
import { loadDriver } from "../src/driver.ts";
import type { Driver } from "../src/driver.ts";
import type { KernelFile } from "../src/module.ts";
import { kernelSources, kernelsNamedIn } from "../scripts/kernel-sources.mjs";

const source = fileURLToPath(new URL("fake-libcuda/fake-libcuda.c", import.meta.url));

/** @throws Error when there is no C compiler */
export function buildFake(...flags: readonly string[]): string {
  const file = join(mkdtempSync(join(tmpdir(), "fake-libcuda-")), "libcuda.so");
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", ...flags, "-o", file, source]);
  } catch (cause) {
    throw new Error("The tests of the cuda backend build a fake driver and need a C compiler named cc: install gcc or clang.", { cause });
  }
  return file;
}

/** What tests control of the fake driver, and see. */
export interface Fake {
  readonly driver: Driver;
  reset(): void;
  /** The `after`-th next call of `name` fails, and all later ones. */
  fail(name: string, status: number, after?: number): void;
  device(count: number, capability: number, bytes: number): void;
  slow(questions: number): void;
  /** Driver objects and memory not given back. */
  live(): number;
  /** Calls of the driver since the last reset. */
  calls(): number;
  /** Lines: launches, copies, captures. */
  log(): string[];
  open(options?: CudaOptions, file?: KernelFile): CudaBackend;
}

export async function loadFake(path: string): Promise<Fake> {
  const driver = await loadDriver(path);
  const library = driver.open(path);
  const declare = <F>(prototype: string): F => library.declare(prototype) as F;
  const text = declare<() => string>("const char *fake_log()");
  const fail = declare<(name: string, status: number, after: number) => void>("void fake_fail(const char *name, int status, int after)");
  return {
    driver,
    reset: declare("void fake_reset()"),
    fail: (name, status, after = 0) => fail(name, status, after),
    device: declare("void fake_device(int count, int capability, uint64_t bytes)"),
    slow: declare("void fake_slow(int questions)"),
    live: declare("int64_t fake_live()"),
    calls: declare("int64_t fake_calls()"),
    log: () => text().split("\n").filter((line) => line !== ""),
    open: (options = {}, file = fakeKernels()) => openBackend(driver, file, options),
  };
}

let kernels: KernelFile | undefined;

/** All kernels of the sources, in a file that only the fake driver loads. */
export function fakeKernels(): KernelFile {
  kernels ??= readFakeKernels();
  return kernels;
}

function readFakeKernels(): KernelFile {
  const units = kernelSources().map(({ name, file, hopper }) => ({
    name,
    offset: 0,
    bytes: 4,
    ...(hopper && { only: "9.0" }),
    kernels: kernelsNamedIn(file),
  }));
  return { units: [...units, { name: "probe", offset: 0, bytes: 4, kernels: ["probe"] }], image: new Uint8Array(4) };
}
