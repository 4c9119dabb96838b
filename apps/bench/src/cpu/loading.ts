/** Loading a model of some hundred megabytes from disk, in bf16 and in 4 bits, beside reading its file alone. */
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuBackend } from "@infllm/backend-cpu";
import { loadModel, type ModelFiles } from "@infllm/model";
import { mustAgree } from "../check.ts";
import { syntheticModel } from "../e2e/synthetic-model.ts";
import { summary } from "../measure.ts";
import { rate } from "../report.ts";
import type { Result } from "../report.ts";
import { shapeNamed } from "../shapes.ts";

const shape = shapeNamed("minicpm4-0.5b");
const PIECE = 4 * 2 ** 20;
const CONTEXT = 256;

/** The files were just written: what is read comes from the system's cache where that has room for it. */
export async function loadingResults(rounds: number): Promise<Result[]> {
  const results: Result[] = [];
  for (const bits of [16, 4] as const) {
    const folder = await mkdtemp(join(tmpdir(), "infllm-loading-"));
    try {
      await store(syntheticModel(shape, CONTEXT, { bits }), folder);
      const weights = join(folder, "model.safetensors");
      const { size } = await stat(weights);
      const times = { read: [] as number[], load: [] as number[] };
      for (let round = 0; round < rounds; round++) {
        times.read.push(await seconds(() => readAll(weights, size)));
        times.load.push(await seconds(() => loadAll(folder)));
      }
      const what = `${(size / 1e6).toFixed(0)} MB in ${bits === 16 ? "bf16" : "4 bits"}`;
      results.push(
        rate(`reading a file, ${what}`, size / 1e9, summary(times.read), "GB/s"),
        rate(`loading the model in it, ${what}`, size / 1e9, summary(times.load), "GB/s"),
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  return results;
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function store(files: ModelFiles, folder: string): Promise<void> {
  for (const name of await files.list()) {
    const source = await files.open(name);
    const file = await open(join(folder, name), "w");
    try {
      for (let from = 0; from < source.size; from += PIECE) await file.write(await source.read(from, Math.min(source.size, from + PIECE)));
    } finally {
      await file.close();
      await source.close();
    }
  }
  await files.close();
}

async function readAll(path: string, size: number): Promise<void> {
  const file = await open(path, "r");
  const memory = new Uint8Array(PIECE);
  try {
    for (let at = 0; at < size; ) at += (await file.read(memory, 0, memory.length, at)).bytesRead;
  } finally {
    await file.close();
  }
}

async function loadAll(folder: string): Promise<void> {
  const backend = await cpuBackend();
  try {
    let [read, all] = [0, 0];
    const model = await loadModel(folder, { backend, contextLength: CONTEXT, onProgress: ({ done, total }) => void ([read, all] = [done, total]) });
    await model.close();
    mustAgree("bytes that were loaded", [read], [all], 0);
  } finally {
    await backend.close();
  }
}
