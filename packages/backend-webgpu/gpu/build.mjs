/**
 * Packs what a machine with a GPU, a Vulkan loader and Node 20 needs, and nothing else, into gpu/pack: dist/main.mjs with
 * everything bundled, goldens/, and node_modules/webgpu with Dawn for 64-bit Linux.
 */
import { copyFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

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
cpSync(join(root, "packages", "conformance", "goldens"), join(pack, "goldens"), { recursive: true });

const webgpu = dirname(createRequire(import.meta.url).resolve("webgpu"));
const target = join(pack, "node_modules", "webgpu");
mkdirSync(join(target, "dist", "linux-x64"), { recursive: true });
for (const file of ["package.json", "index.js", "LICENSE.md", "dist/linux-x64/dawn.node"]) copyFileSync(join(webgpu, file), join(target, file));
