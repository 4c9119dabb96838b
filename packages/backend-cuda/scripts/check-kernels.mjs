/**
 * Refuses to pack or publish without the kernels: `prepack` runs it, and so does the release. Ends with 1 and says which
 * kernels of the folder given (the package's own `data` when none is) are missing or older than their sources.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { kernelSources } from "./kernel-sources.mjs";

const data = process.argv[2] ? resolve(process.argv[2]) : fileURLToPath(new URL("../data/", import.meta.url));
const problem = kernelProblem();
if (problem !== undefined) {
  console.error(`@infllm/backend-cuda cannot be packed: ${problem}. Install the CUDA toolkit 13 (nvcc) and run: npm run build:cuda`);
  process.exit(1);
}

function kernelProblem() {
  const [index, image] = ["kernels.json", "kernels.fatbin"].map((name) => join(data, name));
  if (!existsSync(index) || !existsSync(image)) return "its kernels are not built";
  const { units } = JSON.parse(readFileSync(index, "utf8"));
  const stale = kernelSources().filter(({ name, hash }) => !units.some((unit) => unit.name === name && unit.hash === hash));
  if (stale.length > 0) return `the built kernels of ${stale.map(({ name }) => name).join(", ")} are not those of the sources`;
  const bytes = units.reduce((sum, unit) => sum + unit.bytes, 0);
  return statSync(image).size === bytes ? undefined : `kernels.fatbin does not have the ${bytes} bytes that kernels.json lists`;
}
