/**
 * Packs what a machine with a GPU, a Vulkan loader and Node 20 needs, and nothing else, into gpu/pack (50 MiB):
 * dist/main.mjs with everything bundled, the hashes of the kernels in it, goldens/, the embedded model with its reference,
 * and node_modules/webgpu with Dawn for 64-bit Linux.
 */
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { kernelHashes } from "../scripts/kernel-sources.mjs";
import "../scripts/build-kernels.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..", "..");
const pack = join(here, "pack");
rmSync(pack, { recursive: true, force: true });

await build({
  entryPoints: [join(here, "main.ts")],
  outfile: join(pack, "dist", "main.mjs"),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  conditions: ["@infllm/source"],
  external: ["webgpu"],
  alias: { vitest: join(root, "tooling", "gpu", "src", "runner.ts") },
  logLevel: "warning",
});
writeFileSync(join(pack, "kernels.json"), JSON.stringify(Object.fromEntries(kernelHashes().map(({ name, hash }) => [name, hash]))));
for (const [from, to] of [["conformance/goldens", "goldens"], ["tiny-model/data", "data"], ["tiny-model/reference", "reference"]]) {
  cpSync(join(root, "packages", from), join(pack, to), { recursive: true });
}

const webgpu = dirname(createRequire(import.meta.url).resolve("webgpu"));
const target = join(pack, "node_modules", "webgpu");
mkdirSync(join(target, "dist", "linux-x64"), { recursive: true });
for (const file of ["package.json", "index.js", "LICENSE.md", "dist/linux-x64/dawn.node"]) copyFileSync(join(webgpu, file), join(target, file));
