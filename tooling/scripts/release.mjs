/** Versions and publishes through changesets: `npm run version`, `npm run release`. */
import { buildCudaKernels, checkCudaKernels } from "./cuda-kernels.mjs";
import { setUp } from "./ensure-built.mjs";
import { pnpm } from "./pnpm.mjs";

setUp();
if (process.argv[2] === "version") {
  pnpm(["exec", "changeset", "version"]);
  pnpm(["install", "--lockfile-only", "--ignore-scripts"]);
} else {
  // Before the first package goes out, so that a release is never half done.
  buildCudaKernels();
  checkCudaKernels();
  pnpm(["exec", "changeset", "publish"]);
}
