/**
 * Packs what a machine with a GPU and nothing else needs into tooling/gpu/pack: a Node binary (stripped, xz), the checks
 * and benchmarks in one file, koffi's binary, the kernels, the lab that times them beside torch, and `run.sh`, the one command there. The goldens and the
 * embedded model are taken from the repository when the pack lies in one; `--with-data` copies them in, too.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..");
const cuda = join(root, "packages", "backend-cuda");
const pack = join(here, "pack");

run(process.execPath, [join(cuda, "scripts", "build-kernels.mjs")]);
for (const name of ["dist", "data", "node_modules", "goldens", "reference", "text"]) rmSync(join(pack, name), { recursive: true, force: true });
mkdirSync(join(pack, "data"), { recursive: true });
await bundle();
packKoffi();
for (const file of readdirSync(join(cuda, "data"))) copyFileSync(join(cuda, "data", file), join(pack, "data", file));
packLab();
packNode();
copyFileSync(join(here, "run.sh"), join(pack, "run.sh"));
if (process.argv.includes("--with-data")) {
  cpSync(join(root, "packages/conformance/goldens"), join(pack, "goldens"), { recursive: true });
  cpSync(join(root, "packages/tiny-model/reference"), join(pack, "reference"), { recursive: true });
  cpSync(join(root, "packages/demo-text/data"), join(pack, "text"), { recursive: true });
  const used = (path) => !path.endsWith("model-short.safetensors");
  cpSync(join(root, "packages/tiny-model/data"), join(pack, "data"), { recursive: true, filter: used });
}
console.log(`tooling/gpu/pack: ${(size(pack) / 2 ** 20).toFixed(1)} MiB. There: sh tooling/gpu/pack/run.sh [check] [model] [unions] [bench] [lab] [sanitize]`);

async function bundle() {
  await build({
    entryPoints: [join(here, "src", "main.ts")],
    outfile: join(pack, "dist", "main.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@infllm/source"],
    external: ["koffi"],
    alias: { vitest: join(here, "src", "runner.ts") },
    logLevel: "warning",
  });
}

/** koffi and its binary for 64-bit Linux, nothing of its sources. */
function packKoffi() {
  const koffi = dirname(createRequire(join(cuda, "package.json")).resolve("koffi"));
  const native = join(dirname(realpathSync(koffi)), "@koromix", "koffi-linux-x64");
  const to = join(pack, "node_modules");
  for (const file of readdirSync(koffi, { recursive: true }).filter((name) => /\.c?js$|package\.json$/.test(name))) {
    copy(join(koffi, file), join(to, "koffi", file));
  }
  for (const file of ["package.json", "index.js", "linux_x64/koffi.node"]) {
    copy(join(native, file), join(to, "@koromix", "koffi-linux-x64", file));
  }
}

/** The programs that call the kernels from Python: small when packed. */
function packLab() {
  for (const script of ["build.sh", "neural-build.sh"]) run("bash", [join(cuda, "bench", script)]);
  run("tar", ["-C", cuda, "--exclude=__pycache__", "-cJf", join(pack, "bench.tar.xz"), "bench"]);
}

/** The running Node, without symbols. Kept from one packing to the next: it takes a minute. */
function packNode() {
  const target = join(pack, `node-${process.version}.xz`);
  if (existsSync(target)) return;
  const plain = target.slice(0, -3);
  copyFileSync(realpathSync(process.execPath), plain);
  run("strip", [plain]);
  run("xz", ["-9e", "-f", plain]);
}

function copy(from, to) {
  if (!existsSync(from)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

function size(path) {
  const info = statSync(path);
  return info.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + size(join(path, name)), 0) : info.size;
}
