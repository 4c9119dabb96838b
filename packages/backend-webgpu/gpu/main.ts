/**
 * Checks and benchmarks on this machine's GPU: `node dist/main.mjs [check] [bench] [small] [f32] [f16] [--dawn=FLAG]…`; both
 * and both types when none is named. RANDOM_CASES sets how many configurations random cases try. Prints a line of JSON for
 * each result, and ends with 1 when anything failed.
 */
import { webgpuBackend } from "../src/index.ts";
import { bench, gpuSizes, smallSizes } from "./bench.ts";
import { check } from "./check.ts";

const words = process.argv.slice(2);
const dawnFlags = words.filter((word) => word.startsWith("--dawn=")).map((word) => word.slice("--dawn=".length));
const named = (all: readonly string[]): readonly string[] => {
  const some = all.filter((each) => words.includes(each));
  return some.length > 0 ? some : all;
};

for (const activation of named(["f32", "f16"]) as readonly ("f32" | "f16")[]) {
  try {
    const backend = await webgpuBackend({ activation, dawnFlags });
    const { device, capabilities } = backend;
    console.log(JSON.stringify({ activation, ...device, description: capabilities.description, limitations: capabilities.limitations }));
    if (named(["check", "bench"]).includes("bench")) await bench(backend, words.includes("small") ? smallSizes : gpuSizes);
    await backend.close();
    if (!named(["check", "bench"]).includes("check")) continue;
    const report = await check({ activation, dawnFlags }, Number(process.env["RANDOM_CASES"] ?? 64));
    console.log(JSON.stringify({ activation, ...report }));
    if (report.failed.length > 0 || report.buffersAfterClose !== 0) process.exitCode = 1;
  } catch (error) {
    console.log(JSON.stringify({ activation, error: String(error) }));
    process.exitCode = 1;
  }
}
