/**
 * Compiles kernels/*.cu with nvcc into data/kernels.fatbin (the fatbins of all sources, one after the other) and
 * data/kernels.json (where each starts, which kernels it has, the hash of its source). Without nvcc it writes nothing,
 * and the package says at run time that its kernels were not built. A source is compiled again only when it changed.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { kernelSources } from "./kernel-sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = join(root, "node_modules", ".cache", "kernels");
const hopper = ["-gencode", "arch=compute_90a,code=sm_90a"];
const all = ["-gencode", "arch=compute_80,code=sm_80", ...hopper, "-gencode", "arch=compute_80,code=compute_80"];
// 177: constants that only some variants of a template use.
const flags = ["-fatbin", "-O3", "-std=c++17", "--compress-mode=size", "--diag-suppress=177"];

const nvcc = findNvcc();
if (nvcc === undefined) {
  for (const name of ["kernels.fatbin", "kernels.json"]) rmSync(join(root, "data", name), { force: true });
  console.log("backend-cuda: no nvcc found (CUDA_HOME, PATH, /usr/local/cuda*), so its kernels are not built. Everything else works; with the CUDA toolkit 13, npm run build:cuda builds them.");
} else {
  await build(nvcc);
}

async function build(nvcc) {
  mkdirSync(cache, { recursive: true });
  mkdirSync(join(root, "data"), { recursive: true });
  const sources = kernelSources();
  const units = new Map();
  // The longest first, so that none starts last.
  const waiting = [...sources].sort((a, b) => Number(b.hopper) - Number(a.hopper));
  const worker = async () => {
    for (let source = waiting.shift(); source; source = waiting.shift()) units.set(source.name, await compile(nvcc, source));
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), sources.length) }, worker));

  const images = [];
  let offset = 0;
  const index = sources.map(({ name, hash, hopper }) => {
    const { image, kernels } = units.get(name);
    const unit = { name, hash, offset, bytes: image.length, ...(hopper && { only: "9.0" }), kernels };
    images.push(image);
    offset += image.length;
    return unit;
  });
  const version = spawnSync(nvcc, ["--version"], { encoding: "utf8" }).stdout.match(/release [\d.]+, V([\d.]+)/)?.[1] ?? "unknown";
  writeFileSync(join(root, "data", "kernels.fatbin"), Buffer.concat(images));
  writeFileSync(join(root, "data", "kernels.json"), `${JSON.stringify({ nvcc: version, units: index }, null, 1)}\n`);
  for (const file of readdirSync(cache)) {
    if (!sources.some(({ name, hash }) => file.startsWith(`${name}-${hash}.`))) rmSync(join(cache, file), { recursive: true, force: true });
  }
}

/** @returns {Promise<{ image: Buffer, kernels: string[] }>} */
async function compile(nvcc, { name, file, hash, hopper: onlyHopper }) {
  const result = join(cache, `${name}-${hash}.fatbin`);
  const names = join(cache, `${name}-${hash}.json`);
  if (!existsSync(result) || !existsSync(names)) {
    const work = join(cache, `${name}-${hash}.work`);
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    // Intermediate files are kept for a moment: the PTX lists the kernels.
    const target = join(work, "result.fatbin");
    await run(nvcc, [...flags, ...(onlyHopper ? hopper : all), "--keep", "--keep-dir", work, "-o", target, file]);
    const kernels = new Set();
    for (const ptx of readdirSync(work).filter((entry) => entry.endsWith(".ptx"))) {
      for (const [, kernel] of readFileSync(join(work, ptx), "utf8").matchAll(/\.entry\s+(\w+)/g)) kernels.add(kernel);
    }
    renameSync(target, result);
    writeFileSync(names, JSON.stringify([...kernels].sort()));
    rmSync(work, { recursive: true, force: true });
  }
  return { image: readFileSync(result), kernels: JSON.parse(readFileSync(names, "utf8")) };
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ${args.join(" ")} exited with ${code}`))));
  });
}

function findNvcc() {
  const homes = [process.env["CUDA_HOME"], process.env["CUDA_PATH"]].filter(Boolean);
  const local = existsSync("/usr/local") ? readdirSync("/usr/local").filter((name) => name.startsWith("cuda")).sort().reverse() : [];
  const candidates = [
    ...homes.map((home) => join(home, "bin", "nvcc")),
    "nvcc",
    ...local.map((name) => join("/usr/local", name, "bin", "nvcc")),
  ];
  return candidates.find((path) => spawnSync(path, ["--version"]).status === 0);
}
