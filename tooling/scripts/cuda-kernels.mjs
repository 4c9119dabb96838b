/**
 * The kernels of the cuda backend. Compiling them takes minutes, so set-up leaves them out: only a full test run, a release
 * and `npm run build:cuda` do it.
 */
import { join } from "node:path";
import { root, run } from "./pnpm.mjs";

/** Compiles the sources that changed; without nvcc it says so and goes on. */
export function buildCudaKernels() {
  runScript("build-kernels.mjs");
}

/** Ends the process with a message unless every kernel is built from the source as it is. */
export function checkCudaKernels() {
  runScript("check-kernels.mjs");
}

function runScript(name) {
  run(process.execPath, [join(root, "packages/backend-cuda/scripts", name)], { shell: false });
}
