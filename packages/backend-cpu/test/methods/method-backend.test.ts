import { BatchState, KvCache, attend, attendLayer } from "@infllm/attention";
import { createMethod, methodBackend } from "@infllm/attention/methods";
import { UsageError, random } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { referenceBackend } from "../../src/index.ts";

const [heads, kvHeads, headDim] = [2, 1, 8];
const rotation = { frequencies: Float32Array.of(1, 0.3, 0.1, 0.03) };

function rig(name: string, sequences: number, options: Record<string, unknown>) {
  const backend = methodBackend(referenceBackend(), createMethod(name, options), rotation);
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: 120, sequences });
  const [layer] = cache.layers;
  if (layer === undefined) throw new Error("The cache has one layer.");
  const state = BatchState.allocate(backend, cache, { rows: 120, sequences });
  /** Attention of the batch that `state` is set to; row r is token `tokens[r]` of one seeded text. */
  const run = async (tokens: readonly number[]) => {
    const { normals } = random(1);
    const text = { q: normals(200 * heads * headDim), k: normals(200 * kvHeads * headDim), v: normals(200 * kvHeads * headDim) };
    const rows = (data: Float32Array) => {
      const width = data.length / 200;
      const tensor = backend.allocate("f32", [tokens.length, width]);
      backend.write(tensor, Float32Array.from(tokens.flatMap((token) => [...data.subarray(token * width, (token + 1) * width)])));
      return tensor;
    };
    const out = backend.allocate("f32", [tokens.length, heads * headDim]);
    attendLayer(backend, { q: rows(text.q), k: rows(text.k), v: rows(text.v), cache: layer, batch: state.batch, scale: 0.3, sparse: false, out });
    return [...((await backend.read(out)) as Float32Array)];
  };
  return { backend, cache, state, run };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const sliding = { sinks: 2, window: 10 };
const small = { initTokens: 2, localWindow: 10, blockSize: 4, topk: 1, representatives: 1, chunk: 8 };

describe("a backend under a method", () => {
  it.each([["sliding-window", sliding], ["infllm-v1", small], ["minference", {}]] as const)("%s: sequences of a batch do not see each other", async (name, options) => {
    const both = rig(name, 2, options);
    const [a, b] = [both.cache.addSequence(), both.cache.addSequence()];
    both.state.set([{ sequence: a, count: 40 }, { sequence: b, count: 25 }]);
    const together = await both.run([...range(0, 40), ...range(90, 115)]);
    both.state.set([{ sequence: a, count: 1 }, { sequence: b, count: 1 }]);
    const next = await both.run([40, 115]);
    const alone = async (from: number, count: number) => {
      const one = rig(name, 1, options);
      const sequence = one.cache.addSequence();
      one.state.set([{ sequence, count }]);
      const first = await one.run(range(from, from + count));
      one.state.set([{ sequence, count: 1 }]);
      return [first, await one.run([from + count])] as const;
    };
    const [[firstA, nextA], [firstB, nextB]] = [await alone(0, 40), await alone(90, 25)];
    expect(together).toEqual([...firstA, ...firstB]);
    expect(next).toEqual([...nextA, ...nextB]);
  });

  it("lets a sequence be shortened, except where queries were kept", async () => {
    const { cache, state, run } = rig("sliding-window", 1, sliding);
    const sequence = cache.addSequence();
    state.set([{ sequence, count: 50 }]);
    const whole = await run(range(0, 50));
    sequence.truncate(30);
    state.set([{ sequence, count: 20 }]);
    expect(await run(range(30, 50))).toEqual(whole.slice(30 * heads * headDim));

    const kept = rig("infllm-v1", 1, small);
    const other = kept.cache.addSequence();
    kept.state.set([{ sequence: other, count: 50 }]);
    await kept.run(range(0, 50));
    other.truncate(30);
    kept.state.set([{ sequence: other, count: 20 }]);
    await expect(kept.run(range(30, 50))).rejects.toThrow(/rows from position 30 follow 50 tokens/);
  });

  it("runs recorded steps with what the device memory then holds", async () => {
    const { backend, cache, state } = rig("sliding-window", 1, sliding);
    const sequence = cache.addSequence();
    const width = kvHeads * headDim;
    const [q, k, v] = [heads * headDim, width, width].map((columns) => backend.allocate("f32", [1, columns]));
    const out = backend.allocate("f32", [1, heads * headDim]);
    const [layer] = cache.layers;
    if (!q || !k || !v || !layer) throw new Error("Tensors and layer were made above.");
    state.set([{ sequence, count: 1 }]);
    const step = backend.record(() => attendLayer(backend, { q, k, v, cache: layer, batch: state.batch, scale: 0.3, sparse: false, out }));
    backend.write(v, new Float32Array(width).fill(3));
    step.run();
    expect(await backend.read(out)).toEqual(new Float32Array(heads * headDim).fill(3));
    sequence.truncate(0);
    state.set([{ sequence, count: 1 }]);
    backend.write(v, new Float32Array(width).fill(7));
    step.run();
    expect(await backend.read(out)).toEqual(new Float32Array(heads * headDim).fill(7));
  });

  it("serves attention on given tensors, sampled rows too", async () => {
    const { backend } = rig("sliding-window", 1, sliding);
    const { normals } = random(2);
    const input = { q: normals(60 * heads * headDim), k: normals(60 * width()), v: normals(60 * width()), heads, kvHeads, headDim, chunk: 16 };
    const all = await attend(backend, input);
    const some = await attend(backend, { ...input, rows: [59, 3, 30] });
    const row = (index: number) => [...all.out.subarray(index * heads * headDim, (index + 1) * heads * headDim)];
    expect([...some.out]).toEqual([...row(59), ...row(3), ...row(30)]);
  });

  it("offers no 8-bit cache, which would stand unused beside what the method keeps", () => {
    const { backend } = rig("sliding-window", 1, sliding);
    expect(backend.capabilities.kvCache).toEqual(referenceBackend().capabilities.kvCache.filter((dtype) => dtype !== "q8"));
    expect(() => KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: 8, dtype: "q8" })).toThrow("cannot be had on this backend");
  });

  it("refuses another backend's cache", () => {
    const [a, b] = [rig("sliding-window", 1, sliding), referenceBackend()];
    const cache = KvCache.allocate(b, { layers: 1, kvHeads, headDim, contextLength: 8 });
    const batch = a.state.batch;
    const q = a.backend.allocate("f32", [1, heads * headDim]);
    const [layer] = cache.layers;
    if (layer === undefined) throw new Error("The cache has one layer.");
    expect(() => a.backend.selection.compressKeys({ cache: layer, batch })).toThrow(UsageError);
    expect(() => a.backend.attention.attendBlocks({ q, cache: layer, batch, scale: 1, out: q, blockIndices: q })).toThrow(/not allocated by this backend/);
  });
});

function width(): number {
  return kvHeads * headDim;
}
