/** The driver layer against a fake driver: errors, memory, recording, the layout of arguments. */
import { BatchState, KvCache } from "@infllm/attention";
import type { AttentionBackend } from "@infllm/attention";
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { ConfigError, DeviceLostError, NotAvailableError, OutOfMemoryError, UnsupportedError, UsageError } from "@infllm/tensor";
import type { CacheDType } from "@infllm/tensor";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Context } from "../src/context.ts";
import { CudaError } from "../src/cuda-error.ts";
import type { CudaBackend } from "../src/cuda-backend.ts";
import { loadDriver } from "../src/driver.ts";
import { Machine } from "../src/machine.ts";
import { MemoryPool } from "../src/memory-pool.ts";
import { KernelModules, readKernels } from "../src/module.ts";
import { Stream } from "../src/stream.ts";
import { buildFake, fakeKernels, loadFake } from "./fake-driver.ts";
import type { Fake } from "./fake-driver.ts";

const ILLEGAL_ADDRESS = 700;
let fake: Fake;

beforeAll(async () => {
  fake = await loadFake(buildFake());
});
beforeEach(() => fake.reset());

/** One layer of 2 KV heads with its state, ready for steps of up to 200 rows. */
function layer(backend: CudaBackend, rows: number, headDim = 128, group = 16, dtype: CacheDType = "bf16") {
  const config = sparseConfig();
  const cache = KvCache.allocate(backend as AttentionBackend, { layers: 1, kvHeads: 2, headDim, contextLength: 4096, sparse: config, dtype });
  const state = BatchState.allocate(backend, cache, { rows: 200, sequences: 1 });
  state.set([{ sequence: cache.addSequence(), count: rows }]);
  const [layerCache] = cache.layers;
  if (layerCache === undefined) throw new Error("no layer");
  const width = 2 * group * headDim;
  const common = { cache: layerCache, batch: state.batch };
  const queries = { ...common, q: backend.allocate("bf16", [rows, width]), scale: 0.1 };
  const out = backend.allocate("bf16", [rows, width]);
  const blockIndices = backend.allocate("i32", [2, rows, blockBudget(config)]);
  const [k, v] = [backend.allocate("bf16", [rows, 2 * headDim]), backend.allocate("bf16", [rows, 2 * headDim])];
  return {
    cacheBytes: cache.bytes,
    append: () => backend.selection.appendKv({ ...common, k, v }),
    compress: () => backend.selection.compressKeys(common),
    select: () => backend.selection.selectBlocks({ ...queries, blockIndices }),
    attendBlocks: () => backend.attention.attendBlocks({ ...queries, blockIndices, out }),
    attendDense: () => backend.attention.attendDense({ ...queries, out }),
    wide: backend.allocate("bf16", [rows, 2 * width]),
    queries,
    out,
  };
}

/** Names of the kernels launched so far. */
const launched = (): string[] => fake.log().flatMap((line) => (line.startsWith("launch ") ? [line.split(" ")[1] ?? ""] : []));

describe("opening", () => {
  it("says what to install when the driver's library is missing", async () => {
    await expect(loadDriver("libno-such-cuda.so.1")).rejects.toThrow(NotAvailableError);
    await expect(loadDriver("libno-such-cuda.so.1")).rejects.toThrow("It comes with the NVIDIA driver");
  });

  it("says that the driver is too old when it lacks a function", async () => {
    const old = buildFake("-DWITHOUT_TENSOR_MAPS");
    await expect(loadDriver(old)).rejects.toThrow(/too old.*cuTensorMapEncodeTiled.*Install driver/);
  });

  it("says that the kernels were not built, and how to build them", async () => {
    await expect(readKernels(new URL("no-such-folder/", import.meta.url))).rejects.toThrow(NotAvailableError);
    await expect(readKernels(new URL("no-such-folder/", import.meta.url))).rejects.toThrow(/were not built.*npm run build:cuda/);
  });

  it("names a kernel that the built file lacks", async () => {
    const { units, image } = fakeKernels();
    const backend = fake.open({}, { units: units.filter(({ name }) => name !== "compress-keys"), image });
    expect(layer(backend, 1).compress).toThrow("The built kernels have no compress_keys_bf16; build them again.");
    await backend.close();
  });

  it("refuses a GPU that is not there or too old, and gives everything back", () => {
    expect(() => fake.open({ device: 1 })).toThrow("There is no GPU 1; 1 can be used, counted from 0.");
    fake.device(1, 75, 2 ** 30);
    expect(() => fake.open()).toThrow("compute capability 7.5; the cuda backend needs 8.0");
    expect(fake.live()).toBe(0);
  });

  it("passes on why the driver found no GPU", () => {
    fake.fail("cuInit", 100);
    expect(() => fake.open()).toThrow(NotAvailableError);
    expect(() => fake.open()).toThrow("CUDA_ERROR_NO_DEVICE while starting the driver");
  });

  it("checks its options", () => {
    expect(() => fake.open({ device: -1 })).toThrow(ConfigError);
    expect(() => fake.open({ memoryLimit: 0 })).toThrow(ConfigError);
    expect(() => fake.open({ activation: "f32" as "f16" })).toThrow('it must be "bf16" or "f16"');
    expect(() => fake.open({ headGroupFusion: 0 as unknown as boolean })).toThrow("headGroupFusion is 0; it must be true or false");
    expect(fake.live()).toBe(0);
  });

  it("gives everything back when a later step fails", () => {
    for (const name of ["cuStreamCreate", "cuMemAlloc_v2", "cuMemsetD8Async", "cuCtxSetCurrent"]) {
      fake.reset();
      fake.fail(name, 1);
      expect(() => fake.open(), name).toThrow(CudaError);
      expect(fake.live(), name).toBe(0);
    }
  });

  it("reports the prefill path a GPU gets", async () => {
    const shape = { dtype: "bf16", headDim: 128, group: 16, kvHeads: 2, blockSize: 64, sparse: sparseConfig() } as const;
    const hopper = fake.open();
    expect(hopper.paths(shape).map(({ prefill, decode }) => `${prefill} ${decode}`)).toEqual(Array(3).fill("hopper rows"));
    expect(hopper.paths({ ...shape, headDim: 96 })[0]).toEqual({ op: "selectBlocks", prefill: "general", decode: "general" });
    await hopper.close();
    fake.device(1, 80, 2 ** 28);
    const ampere = fake.open();
    expect(ampere.paths(shape)[0]).toEqual({ op: "selectBlocks", prefill: "rows", decode: "rows" });
    expect(ampere.capabilities.limitations.join()).toContain("compute capability 9.0");
    await ampere.close();
  });
});

describe("memory", () => {
  it("copies in and out, with views", async () => {
    const backend = fake.open();
    const tensor = backend.allocate("f32", [2, 3]);
    backend.write(tensor, Float32Array.of(1, 2, 3, 4, 5, 6));
    backend.write(tensor.view({ columns: [1, 3] }), Float32Array.of(7, 8), 1);
    expect(await backend.read(tensor)).toEqual(Float32Array.of(1, 2, 3, 4, 7, 8));
    expect(await backend.read(tensor.view({ columns: [1, 2] }))).toEqual(Float32Array.of(2, 7));
    await backend.close();
  });

  it("says needed and free bytes when the GPU is full", async () => {
    const backend = fake.open();
    const { used, available } = backend.memory();
    const refused = (() => {
      try {
        backend.allocate("f32", [2 ** 20, 2 ** 8]);
      } catch (error) {
        return error;
      }
    })();
    expect(refused).toBeInstanceOf(OutOfMemoryError);
    expect(refused).toMatchObject({ needed: 2 ** 30, available });
    expect((refused as Error).message).toMatch(/^A tensor of f32 \[1048576, 256\] needs 1\.00 GiB, but 256 MiB is available\. Fake GPU 0 has/);
    expect(backend.memory().used).toBe(used);
    backend.allocate("f32", [4]).release();
    await backend.close();
  });

  it("keeps within memoryLimit", async () => {
    const backend = fake.open({ memoryLimit: 2 ** 20 });
    expect(() => backend.allocate("u8", [2 ** 20])).toThrow("Raise memoryLimit");
    expect(backend.memory().available).toBeLessThan(2 ** 20);
    await backend.close();
  });

  it("returns all that was allocated on close, and refuses to go on", async () => {
    const backend = fake.open();
    const { compress, select, attendBlocks } = layer(backend, 200);
    const step = backend.record(() => {
      compress();
      select();
      attendBlocks();
    });
    select();
    backend.neural.allocateWeight(8, 64, "bf16");
    step.run();
    expect(backend.allocations()).toBeGreaterThan(10);
    await backend.close();
    await backend.close();
    expect(backend.allocations()).toBe(0);
    expect(fake.live()).toBe(0);
    expect(() => backend.allocate("f32", [1])).toThrow(UsageError);
    expect(() => step.run()).toThrow("The cuda backend was closed");
    step.release();
    expect(fake.live()).toBe(0);
  });

  it("frees scratch of recorded steps with them", async () => {
    const backend = fake.open();
    const { select } = layer(backend, 200);
    const before = backend.memory().used;
    const step = backend.record(select);
    expect(backend.memory().used).toBeGreaterThan(before);
    step.release();
    step.release();
    expect(backend.memory().used).toBe(before);
    expect(() => step.run()).toThrow("run after release()");
    await backend.close();
  });

  it("refuses caches of another type than the activations", async () => {
    const backend = fake.open();
    const shape = { pages: 1, kvHeads: 1, headDim: 64, blockSize: 64, dtype: "f32" } as const;
    expect(() => backend.selection.allocateCache(shape)).toThrow(UnsupportedError);
    expect(() => backend.selection.allocateCache(shape)).toThrow("use bf16 or q8, or cudaBackend");
    expect(() => backend.selection.allocateCache({ ...shape, dtype: "bf16", headDim: 513 })).toThrow("even ones up to 512");
    await backend.close();
  });
});

describe("faults", () => {
  it("names status, doing and sizes of a failed launch", async () => {
    const backend = fake.open();
    const { attendDense } = layer(backend, 1);
    fake.fail("cuLaunchKernelEx", 701);
    expect(attendDense).toThrow(
      /CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES while launching decode_attend\w*_bf16_d128 \(grid \d+×2×1, \d+×1×1 threads, \d+ bytes of shared memory\)\. The kernel needs/,
    );
    await backend.close();
  });

  it("names a kernel that the driver cannot load", async () => {
    const backend = fake.open();
    const { compress } = layer(backend, 1);
    fake.fail("cuModuleLoadData", 209);
    expect(compress).toThrow(/CUDA_ERROR_NO_BINARY_FOR_GPU while loading the kernels of compress-keys\.cu \(4 bytes\) on Fake GPU 0\..*8\.0 or newer/);
    await backend.close();
  });

  it("a kernel fault ends the backend with one clear message, and close still works", async () => {
    const backend = fake.open();
    const { attendDense, out } = layer(backend, 1);
    attendDense();
    fake.fail("cuEventQuery", ILLEGAL_ADDRESS);
    await expect(backend.read(out)).rejects.toThrow(DeviceLostError);
    const message = /Fake GPU 0 stopped with CUDA_ERROR_ILLEGAL_ADDRESS, noticed while waiting for the ops before an event/;
    expect(attendDense).toThrow(message);
    expect(() => backend.allocate("f32", [1])).toThrow(message);
    expect(() => backend.memory()).toThrow(DeviceLostError);
    await expect(backend.sync()).rejects.toThrow(message);
    await backend.close();
    expect(backend.allocations()).toBe(0);
  });

  it("a fault while waiting in steps is found, too", async () => {
    const backend = fake.open();
    fake.slow(3);
    await backend.sync();
    fake.slow(3);
    fake.fail("cuEventQuery", 719, 2);
    await expect(backend.sync()).rejects.toThrow("CUDA_ERROR_LAUNCH_FAILED");
    await backend.close();
  });
});

describe("recording", () => {
  it("captures launches in order, and replays them with one call", async () => {
    const backend = fake.open();
    const { compress, select, attendBlocks } = layer(backend, 1);
    const before = fake.log().length;
    const step = backend.record(() => {
      compress();
      select();
      attendBlocks();
    });
    step.run();
    step.run();
    const lines = fake.log().slice(before).filter((line) => !line.startsWith("shared "));
    const names = lines.map((line) => line.split(" ")[line.startsWith("launch") ? 1 : 0]);
    expect(names).toEqual([
      "capture", "compress_keys_bf16", "decode_lse_bf16_d128", "decode_score_bf16_d128", "decode_attend_cluster_bf16_d128", "captured", "replay", "replay",
    ]);
    for (const name of ["decode_lse", "decode_score"]) expect(lines.find((line) => line.includes(`launch ${name}`))).toContain("overlap");
    expect(lines.find((line) => line.includes("launch decode_attend"))).toMatch(/^launch decode_attend_cluster_bf16_d128 \[16 2 1\] .* overlap cluster 16$/);
    await backend.close();
  });

  it("decode selection does not overlap with what may still write its queries", async () => {
    const backend = fake.open();
    const { select } = layer(backend, 1);
    select();
    expect(fake.log().find((line) => line.includes("launch decode_lse"))).not.toContain("overlap");
    await backend.close();
  });

  it("decode attention does not overlap with what it has not been made for", async () => {
    const backend = fake.open();
    const { attendDense, attendBlocks } = layer(backend, 1);
    attendDense();
    attendBlocks();
    const first = fake.log().filter((line) => line.includes("launch decode_attend"));
    expect(first).toHaveLength(2);
    for (const line of first) expect(line).not.toContain("overlap");
    await backend.close();
  });

  it("refuses what cannot be recorded, and stays usable", async () => {
    const backend = fake.open();
    const tensor = backend.allocate("f32", [1]);
    expect(() => backend.record(() => backend.write(tensor, Float32Array.of(1)))).toThrow("write cannot be recorded");
    expect(() => backend.record(() => void backend.record(() => undefined))).toThrow("record cannot be recorded");
    backend.write(tensor, Float32Array.of(2));
    expect(await backend.read(tensor)).toEqual(Float32Array.of(2));
    fake.fail("cuStreamEndCapture", 900);
    expect(() => backend.record(layer(backend, 200).select)).toThrow("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED while recording a step");
    await backend.close();
    expect(fake.live()).toBe(0);
  });
});

describe("launches", () => {
  it("pass column views packed, and unpack results", async () => {
    const backend = fake.open();
    const { queries, wide, out } = layer(backend, 200);
    const half = wide.rowStride / 2;
    backend.attention.attendDense({ ...queries, q: wide.view({ columns: [0, half] }), out: wide.view({ columns: [half, 2 * half] }) });
    expect(fake.log().filter((line) => line === "copy")).toHaveLength(2);
    backend.attention.attendDense({ ...queries, out });
    expect(fake.log().filter((line) => line === "copy")).toHaveLength(2);
    await backend.close();
  });

  it("take the general kernels for shapes that no other is made for", async () => {
    const backend = fake.open();
    const { select, attendBlocks, attendDense } = layer(backend, 30, 96, 3);
    select();
    attendBlocks();
    attendDense();
    expect(launched()).toEqual(["select_general_bf16", "attend_general_bf16", "attend_general_bf16"]);
    await backend.close();
  });

  it("neither overlap nor cluster where the code for 8.0 runs", async () => {
    for (const capability of [80, 120]) {
      fake.reset();
      fake.device(1, capability, 2 ** 28);
      const backend = fake.open();
      const { select, attendBlocks } = layer(backend, 1);
      select();
      attendBlocks();
      expect(launched()).toEqual(["decode_lse_bf16_d128", "decode_score_bf16_d128", "decode_attend_bf16_d128", "decode_combine_bf16_d128"]);
      expect(fake.log().join()).not.toContain("overlap");
      await backend.close();
    }
  });

  it("take the tiled kernels for long steps", async () => {
    const backend = fake.open();
    const { select, attendBlocks, attendDense } = layer(backend, 200, 64, 8);
    select();
    attendBlocks();
    attendDense();
    expect(launched()).toEqual([
      "gather_index", "gather_index", "score_blocks_bf16_g8_d64", "select_top", "union_blocks", "attend_blocks_bf16_g8_d64", "attend_dense_bf16_g8_d64",
    ]);
    await backend.close();
  });

  it("read 8-bit caches as they are at decode", async () => {
    const backend = fake.open();
    const decode = layer(backend, 1, 64, 8, "q8");
    for (const op of [decode.append, decode.compress, decode.select, decode.attendDense, decode.attendBlocks]) op();
    expect(launched()).toEqual([
      "append_kv_bf16_q8", "compress_keys_bf16_q8", "decode_lse_bf16_d64", "decode_score_bf16_d64",
      "decode_attend_bf16_q8_d64", "decode_combine_bf16_d64", "decode_attend_cluster_bf16_q8_d64",
    ]);
    // Keys and values of 64 elements have scales of 2 bytes; compressed keys, 5 of 64 rows, keep 16 bits.
    expect(decode.cacheBytes / layer(backend, 1, 64, 8).cacheBytes).toBeCloseTo((2 * 66 + 2 * 5) / (4 * 64 + 2 * 5), 6);
    await backend.close();
  });

  it("read 16-bit copies of 8-bit caches where tiles are loaded, and the cache itself in plain loops", async () => {
    const backend = fake.open();
    const prefill = layer(backend, 200, 64, 8, "q8");
    const { used } = backend.memory();
    prefill.attendDense();
    // Keys and values of 64 pages, 2 KV heads, 64 tokens and elements: 2 bytes each.
    expect(backend.memory().used - used).toBe(2 * 64 * 2 * 64 * 64 * 2);
    prefill.attendBlocks();
    layer(backend, 30, 96, 3, "q8").attendDense();
    expect(launched()).toEqual([
      "widen_pages_bf16", "attend_dense_bf16_g8_d64", "widen_pages_bf16", "union_blocks", "attend_blocks_bf16_g8_d64", "attend_general_bf16_q8",
    ]);
    await backend.close();
  });

  it("write every head's scores and pool them in a second kernel when told not to fuse", async () => {
    const backend = fake.open({ headGroupFusion: false });
    const { select } = layer(backend, 200, 64, 8);
    const { select: decode } = layer(backend, 1);
    select();
    decode();
    expect(launched()).toEqual([
      "gather_index", "gather_index", "score_heads_bf16_g8_d64", "pool_heads", "select_top", "decode_lse_bf16_d128", "decode_score_bf16_d128",
    ]);
    // 200 rows in tiles of 32 tokens for 2 KV heads; 384 threads score, a block of threads pools a row.
    const [scores, pool] = fake.log().filter((line) => /launch (score|pool)_heads/.test(line));
    expect(scores).toContain("[14 1 1] x [384 1 1]");
    expect(pool).toContain("[200 2 1] x [256 1 1]");
    await backend.close();
  });

  it("lay arguments out as C does", () => {
    const context = Context.open(fake.driver, 0);
    const pool = new MemoryPool(context, undefined);
    const stream = new Stream(context);
    const machine = new Machine(context, pool, stream, new KernelModules(context, fakeKernels()), "bf16");
    machine.launch("probe", { grid: [1], block: [32] }, (args) =>
      args
        .pointer(11)
        .i32(-2)
        .f32(1.5)
        .struct((s) => s.pointer(21).pointer(22).i32(23).align(8).i32(24).f32(2.5).pointer(25))
        .bytes(new Uint8Array(128).fill(7), 64),
    );
    expect(fake.log().at(-1)).toBe("probe 11 -2 1.50 | 21 22 23 24 2.50 25 | map 7 aligned 1");
    stream.release();
    pool.close();
    machine.modules.close();
    context.close();
    expect(fake.live()).toBe(0);
  });
});
