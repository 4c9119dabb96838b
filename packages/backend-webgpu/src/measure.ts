/**
 * Times products and one layer's attention: GPU time from timestamp queries where there are any, and wall time. Products are
 * checked before they are timed; attention is not, at these lengths: run the conformance suite (`check`) beside it.
 */
import { BatchState, KvCache } from "@infllm/attention";
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { fromF32, hostArray, hostTensor, random, toF32 } from "@infllm/tensor";
import type { DeviceTensor, FloatDType, HostArray } from "@infllm/tensor";
import type { KernelTime, WebGpuBackend } from "./index.ts";

export interface BenchSizes {
  /** Rows, columns and outputs of square products. */
  readonly products: readonly number[];
  /** Tokens of the attention layer. */
  readonly lengths: readonly number[];
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly repeats: number;
}

export const gpuSizes: BenchSizes = { products: [2048, 4096], lengths: [16384, 65536], heads: 32, kvHeads: 2, headDim: 128, repeats: 5 };
export const smallSizes: BenchSizes = { products: [256, 1024], lengths: [2048], heads: 16, kvHeads: 1, headDim: 64, repeats: 3 };

export interface Timing {
  readonly what: string;
  /** Median over the repeats, the wait for the GPU included. */
  readonly wallMs: number;
  /** Of one run; absent without timestamps. */
  readonly gpuMs?: number;
  readonly tflops?: number;
  /** GPU time by kernel, each launch alone: their sum is larger. */
  readonly kernels?: readonly KernelTime[];
}

/** Prints a line for each, and returns them. @throws Error when a product is wrong */
export async function timeKernels(backend: WebGpuBackend, sizes: BenchSizes, print: (line: string) => void = console.log): Promise<Timing[]> {
  const timings: Timing[] = [];
  const add = (timing: Timing): void => {
    timings.push(timing);
    print(JSON.stringify(timing));
  };
  for (const size of sizes.products) await products(backend, size, sizes, add);
  for (const length of sizes.lengths) await layer(backend, length, sizes, add);
  return timings;
}

type Add = (timing: Timing) => void;

async function products(backend: WebGpuBackend, size: number, { repeats }: BenchSizes, add: Add): Promise<void> {
  const { activation } = backend.capabilities;
  const x = tensor(backend, activation, [size, size], 1);
  const out = backend.allocate(activation, [size, size]);
  for (const dtype of ["f16", "q8_0", "q4_0"] as const) {
    const weight = backend.neural.allocateWeight(size, size, dtype);
    const rows = Float32Array.from({ length: size * size }, (_, i) => (((i * 2654435761) >>> 8) % 2001) / 1000 - 1);
    const bytes = fromF32(dtype, rows);
    weight.writeRows(0, bytes);
    for (const count of [size, 1]) {
      const [some, result] = [x.view({ rows: [0, count] }), out.view({ rows: [0, count] })];
      const run = (): void => backend.neural.linear({ x: some, weight, out: result });
      run();
      await checkProduct(backend, x, toF32(dtype, bytes, size * size), result, size);
      const operations = 2 * count * size * size;
      add(await time(backend, `linear ${count} x ${size} x ${size}, ${dtype} weight, ${activation}`, run, count === 1 ? 20 : repeats, operations));
    }
    weight.release();
  }
  x.release();
  out.release();
}

/** A few numbers of the last row against float64. */
async function checkProduct(backend: WebGpuBackend, x: DeviceTensor, weights: Float32Array, out: DeviceTensor, size: number): Promise<void> {
  const row = (out.shape[0] ?? 1) - 1;
  const input = floats(x, await backend.read(x.view({ rows: [row, row + 1] })));
  const got = floats(out, await backend.read(out.view({ rows: [row, row + 1] })));
  for (const output of [0, 1, size >> 1, size - 1]) {
    let [sum, terms] = [0, 0];
    for (let i = 0; i < size; i++) {
      const term = (input[i] ?? NaN) * (weights[output * size + i] ?? NaN);
      sum += term;
      terms += Math.abs(term);
    }
    const off = Math.abs((got[output] ?? NaN) - sum);
    if (!(off <= terms * 2 ** -9)) throw new Error(`linear: output ${output} is ${got[output]}, expected ${sum}.`);
  }
}

async function layer(backend: WebGpuBackend, length: number, sizes: BenchSizes, add: Add): Promise<void> {
  const { heads, kvHeads, headDim, repeats } = sizes;
  const { activation } = backend.capabilities;
  const config = sparseConfig(length < 8192 ? { windowSize: 512, topk: 8 } : {});
  const chunk = Math.min(length, 4096);
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: length + 64, sparse: config });
  const state = BatchState.allocate(backend, cache, { rows: chunk, sequences: 1 });
  const sequence = cache.addSequence();
  const [layerCache] = cache.layers;
  if (layerCache === undefined) throw new Error("The cache has no layer.");
  const q = tensor(backend, activation, [chunk, heads * headDim], 2);
  const out = backend.allocate(activation, [chunk, heads * headDim]);
  const other = backend.allocate(activation, [chunk, heads * headDim]);
  const blockIndices = backend.allocate("i32", [kvHeads, chunk, blockBudget(config)]);
  const scale = 1 / Math.sqrt(headDim);
  for (let from = 0; from < length; from += chunk) {
    const k = tensor(backend, activation, [chunk, kvHeads * headDim], from + 3);
    const v = tensor(backend, activation, [chunk, kvHeads * headDim], from + 4);
    state.set([{ sequence, count: chunk }]);
    backend.selection.appendKv({ k, v, cache: layerCache, batch: state.batch });
    backend.selection.compressKeys({ cache: layerCache, batch: state.batch });
    await backend.sync();
    k.release();
    v.release();
  }
  const ops = (rows: number) => {
    const common = { cache: layerCache, batch: state.batch, scale, q: q.view({ rows: [0, rows] }) };
    return {
      select: () => backend.selection.selectBlocks({ ...common, blockIndices }),
      sparse: () => backend.attention.attendBlocks({ ...common, blockIndices, out: out.view({ rows: [0, rows] }) }),
      dense: () => backend.attention.attendDense({ ...common, out: other.view({ rows: [0, rows] }) }),
    };
  };
  const name = `${heads}/${kvHeads} heads of ${headDim}, ${length} tokens`;
  /** Of all chunks of the prompt, each over what came before it. */
  const prefill = (op: "select" | "sparse" | "dense") => () => {
    for (let from = 0; from < length; from += chunk) {
      state.revisit([{ sequence, from, count: chunk }]);
      ops(chunk)[op]();
    }
  };
  const visible = (length * length) / 2;
  add(await time(backend, `prefill, dense attention, ${name}`, prefill("dense"), Math.min(3, repeats), 4 * visible * heads * headDim));
  add(await time(backend, `prefill, selection, ${name}`, prefill("select"), repeats));
  add(await time(backend, `prefill, sparse attention, ${name}`, prefill("sparse"), repeats, 4 * length * blockBudget(config) * 64 * heads * headDim));

  state.revisit([{ sequence, from: length - 1, count: 1 }]);
  const { select, sparse, dense } = ops(1);
  for (const [what, work] of [["dense", [dense]], ["sparse, selection included", [select, sparse]]] as const) {
    const step = backend.record(() => {
      for (let i = 0; i < LAYERS; i++) work.forEach((op) => op());
    });
    add(await time(backend, `decode, ${what}, a layer of ${LAYERS}, ${name}`, () => step.run(), 21, undefined, LAYERS));
    step.release();
  }
  state.release();
  for (const each of [q, out, other, blockIndices]) each.release();
  cache.close();
}

/** Layers of a step of decoding: what they share, such as the rows' positions, is found once a step. */
const LAYERS = 32;
/** GPUs idle at a fraction of their clock, and take this long to leave it. */
const WARM_MILLISECONDS = 700;

/** `work` has `parts` equal parts; times are of one. */
async function time(backend: WebGpuBackend, what: string, work: () => void, repeats: number, operations?: number, parts = 1): Promise<Timing> {
  const warm = performance.now();
  do {
    work();
    await backend.sync();
  } while (performance.now() - warm < WARM_MILLISECONDS);
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    work();
    await backend.sync();
    times.push((performance.now() - start) / parts);
  }
  times.sort((a, b) => a - b);
  const wallMs = times[times.length >> 1] ?? NaN;
  const hasTimestamps = backend.device.features.includes("timestamp-query");
  const ofOne = (times: readonly KernelTime[]): KernelTime[] => times.map((each) => ({ ...each, milliseconds: rounded(each.milliseconds / parts) }));
  const kernels = hasTimestamps ? ofOne(await backend.profile(work)) : [];
  const gpuMs = hasTimestamps ? ofOne(await backend.profile(work, { byKernel: false })).reduce((sum, { milliseconds }) => sum + milliseconds, 0) : undefined;
  return {
    what,
    wallMs: rounded(wallMs),
    ...(gpuMs === undefined ? {} : { gpuMs: rounded(gpuMs) }),
    ...(kernels.length < 2 ? {} : { kernels }),
    ...(operations === undefined ? {} : { tflops: rounded(operations / (gpuMs ?? wallMs) / 1e9) }),
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function tensor(backend: WebGpuBackend, dtype: FloatDType, shape: readonly [number, number], seed: number): DeviceTensor {
  const made = backend.allocate(dtype, shape);
  const values = random(seed).normals(shape[0] * shape[1]);
  backend.write(made, hostArray(hostTensor(dtype, [...shape], fromF32(dtype, values))));
  return made;
}

function floats({ dtype }: DeviceTensor, data: HostArray): Float32Array {
  return toF32(dtype, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), data.length);
}
