/** Times one layer's ops through Node: 32 query heads, 2 KV heads, head_dim 128, over caches of 16 and of 8 bits. */
import { BatchState, KvCache } from "@infllm/attention";
import { cudaBackend } from "@infllm/backend-cuda";
import type { CudaBackend } from "@infllm/backend-cuda";
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { structuredRows } from "./structured.ts";

const [HEADS, KV_HEADS, DIM] = [32, 2, 128];
const LENGTHS = (process.env["LENGTHS"] ?? "32768,65536,131072").split(",").map(Number);
const REPEATS = 7;
const DECODE_STEPS = 200;

type Timed = { readonly medianMs: number; readonly leastMs: number; readonly mostMs: number };

export async function bench(): Promise<{ report: unknown; ok: boolean }> {
  const report: object[] = [];
  for (const length of LENGTHS) {
    const row = { length, ...(await layer(length, "bf16")), q8: await layer(length, "q8") };
    report.push(row);
    console.log(JSON.stringify(row));
  }
  return { report: { lengths: report }, ok: true };
}

async function layer(length: number, dtype: "bf16" | "q8"): Promise<Record<string, unknown>> {
  const backend = await cudaBackend();
  const config = sparseConfig();
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads: KV_HEADS, headDim: DIM, contextLength: length + 64, sparse: config, dtype });
  const sequence = cache.addSequence();
  const state = BatchState.allocate(backend, cache, { rows: length, sequences: 1 });
  const rows = structuredRows(length, HEADS, KV_HEADS, DIM);
  const tensor = (values: Uint16Array, columns: number) => {
    const made = backend.allocate("bf16", [length, columns]);
    backend.write(made, values);
    return made;
  };
  const [q, k, v] = [tensor(rows.q, HEADS * DIM), tensor(rows.k, KV_HEADS * DIM), tensor(rows.v, KV_HEADS * DIM)];
  const out = backend.allocate("bf16", [length, HEADS * DIM]);
  const blockIndices = backend.allocate("i32", [KV_HEADS, length, blockBudget(config)]);
  const [layerCache] = cache.layers;
  if (layerCache === undefined) throw new Error("The cache has no layer.");
  state.set([{ sequence, count: length }]);
  const common = { cache: layerCache, batch: state.batch };
  const scale = 1 / Math.sqrt(DIM);
  backend.selection.appendKv({ ...common, k, v });
  const compress = (): void => backend.selection.compressKeys(common);
  const select = (): void => backend.selection.selectBlocks({ ...common, q, scale, blockIndices });
  const sparse = (): void => backend.attention.attendBlocks({ ...common, q, scale, blockIndices, out });
  const dense = (): void => backend.attention.attendDense({ ...common, q, scale, out });
  const prefill = {
    compress: await time(backend, compress, REPEATS),
    select: await time(backend, select, REPEATS),
    attendBlocks: await time(backend, sparse, REPEATS),
    attendDense: await time(backend, dense, 3),
  };
  state.set([{ sequence, count: 1 }]);
  const one = { cache: layerCache, batch: state.batch };
  const first = { q: q.view({ rows: [0, 1] }), out: out.view({ rows: [0, 1] }), scale };
  const decode = async (work: () => void): Promise<Timed> => {
    const step = backend.record(work);
    const timed = await time(backend, () => { for (let i = 0; i < DECODE_STEPS; i++) step.run(); }, REPEATS);
    step.release();
    return scaled(timed, 1 / DECODE_STEPS);
  };
  const result = {
    prefill,
    decode: {
      sparse: await decode(() => {
        backend.selection.selectBlocks({ ...one, ...first, blockIndices });
        backend.attention.attendBlocks({ ...one, ...first, blockIndices });
      }),
      dense: await decode(() => backend.attention.attendDense({ ...one, ...first })),
    },
    cacheBytes: cache.bytes,
    paths: backend.paths({ dtype, headDim: DIM, group: HEADS / KV_HEADS, kvHeads: KV_HEADS, blockSize: 64, sparse: config }),
  };
  await backend.close();
  return result;
}

/** Median of `repeats` runs after one to warm up, the wait for the GPU included. */
async function time(backend: CudaBackend, work: () => void, repeats: number): Promise<Timed> {
  work();
  await backend.sync();
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    work();
    await backend.sync();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return { medianMs: at(times, Math.floor(repeats / 2)), leastMs: at(times, 0), mostMs: at(times, repeats - 1) };
}

function at(sorted: readonly number[], index: number): number {
  return sorted[index] ?? NaN;
}

function scaled({ medianMs, leastMs, mostMs }: Timed, factor: number): Timed {
  return { medianMs: medianMs * factor, leastMs: leastMs * factor, mostMs: mostMs * factor };
}
