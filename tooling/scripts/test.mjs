/** Everything a change must pass: `npm test`. Arguments go to the test runner: `npm test -- packages/tensor`. */
import { buildCudaKernels } from "./cuda-kernels.mjs";
import { setUp } from "./ensure-built.mjs";
import { pnpm } from "./pnpm.mjs";

const filters = process.argv.slice(2);
setUp();
// The checks use installed packages, so they can be loaded only now.
if (filters.length === 0) {
  (await import("./checks.mjs")).checkAll();
  buildCudaKernels();
}
pnpm(["exec", "vitest", "run", ...filters]);
