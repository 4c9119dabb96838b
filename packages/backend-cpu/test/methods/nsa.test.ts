import { createMethod, nsa } from "@infllm/attention/methods";
import { describe, expect, it } from "vitest";
import { attendAs, expectClose, methodInputs, rotated, runMethod } from "./method-run.ts";

const inputs = methodInputs({ heads: 4, kvHeads: 2, headDim: 8, length: 150, seed: 6, sharpness: 2 });
const options = { compressSize: 8, compressStride: 4, blockSize: 16, blocks: 4, initBlocks: 1, localBlocks: 2, window: 20 };
const { heads, kvHeads, headDim, length } = inputs;

/** Some φ that is no mean, different for keys and values: a weighted sum, the weights growing along the run. */
function compress(run: ArrayLike<number>, what: "keys" | "values", { kvHead }: { readonly kvHead: number }): Float32Array {
  return Float32Array.from({ length: headDim }, (_, d) => {
    let sum = 0;
    for (let token = 0; token < options.compressSize; token++) sum += (token + 1 + kvHead) * (run[token * headDim + d] ?? NaN);
    return sum / (what === "keys" ? 40 : 30);
  });
}

const gate = (row: number, head: number, branch: number) => 1 / (1 + ((row + 2 * head + 3 * branch) % 5));

/** The run's tokens of one KV head, keys rotated: what φ gets. */
function run(index: number, what: "keys" | "values", kvHead: number): Float32Array {
  const tokens = Array.from({ length: options.compressSize }, (_, i) => index * options.compressStride + i);
  return Float32Array.from(tokens.flatMap((token) => {
    const from = (token * kvHeads + kvHead) * headDim;
    return what === "keys" ? [...rotated(inputs, inputs.k, from, token)] : [...inputs.v.subarray(from, from + headDim)];
  }));
}

/** Compressed keys or values of every run: `[kvHead][run]`. */
function compressedOf(phi: typeof compress, what: "keys" | "values"): Float32Array[][] {
  const runs = Math.floor((length - options.compressSize) / options.compressStride) + 1;
  return Array.from({ length: kvHeads }, (_, kvHead) => Array.from({ length: runs }, (__, index) => phi(run(index, what, kvHead), what, { kvHead })));
}

/** Probabilities over the runs that end by the row. */
function probabilities(keys: Float32Array[], row: number, head: number): number[] {
  const query = rotated(inputs, inputs.q, (row * heads + head) * headDim, row);
  const weights = keys
    .filter((_, index) => index * options.compressStride + options.compressSize - 1 <= row)
    .map((key) => Math.exp(query.reduce((sum, value, d) => sum + value * (key[d] ?? NaN), 0) / Math.sqrt(headDim)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** The blocks of a row: forced ones, then by how much probability the runs have, each times the strides it shares with the block. */
function blocksOf(keys: Float32Array[], row: number, kvHead: number): number[] {
  const { compressSize, compressStride, blockSize, blocks, initBlocks, localBlocks } = options;
  const own = Math.floor(row / blockSize);
  const summed: number[] = [];
  for (let head = kvHead * (heads / kvHeads); head < (kvHead + 1) * (heads / kvHeads); head++) {
    probabilities(keys, row, head).forEach((value, index) => (summed[index] = (summed[index] ?? 0) + value));
  }
  const ranked = Array.from({ length: own + 1 }, (_, block) => {
    if (block < initBlocks || block > own - localBlocks) return { block, score: Infinity };
    let score = 0;
    summed.forEach((value, index) => {
      const shared = Math.min((block + 1) * blockSize, index * compressStride + compressSize) - Math.max(block * blockSize, index * compressStride);
      score += (Math.max(0, shared) / compressStride) * value;
    });
    return { block, score };
  });
  ranked.sort((a, b) => (a.score === b.score ? a.block - b.block : b.score - a.score));
  return ranked.slice(0, blocks).map(({ block }) => block);
}

function defined(phi: typeof compress, gateOf: typeof gate): Float64Array {
  const [keys, values] = [compressedOf(phi, "keys"), compressedOf(phi, "values")];
  const chosen = Array.from({ length: kvHeads }, (_, kvHead) => Array.from({ length }, (__, row) => blocksOf(keys[kvHead] ?? [], row, kvHead)));
  const selected = attendAs(inputs, (row, head, token) =>
    token <= row && chosen[Math.floor((head * kvHeads) / heads)]?.[row]?.includes(Math.floor(token / options.blockSize)) ? [row, token] : undefined);
  const window = attendAs(inputs, (row, _, token) => (token <= row && token > row - options.window ? [row, token] : undefined));
  const out = new Float64Array(selected.length);
  for (let row = 0; row < length; row++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const weights = probabilities(keys[kvHead] ?? [], row, head);
      for (let d = 0; d < headDim; d++) {
        const at = (row * heads + head) * headDim + d;
        const compressed = weights.reduce((sum, weight, index) => sum + weight * (values[kvHead]?.[index]?.[d] ?? NaN), 0);
        out[at] = gateOf(row, head, 0) * compressed + gateOf(row, head, 1) * (selected[at] ?? NaN) + gateOf(row, head, 2) * (window[at] ?? NaN);
      }
    }
  }
  return out;
}

describe.each(["cpu", "reference"] as const)("NSA, %s", (kind) => {
  it("is the gated sum of its three branches", { timeout: 30_000 }, async () => {
    const gates = ({ first, rows }: { readonly first: number; readonly rows: number }) =>
      Float32Array.from({ length: rows * heads * 3 }, (_, i) => gate(first + Math.floor(i / (3 * heads)), Math.floor(i / 3) % heads, i % 3));
    const method = nsa(options, { compress, gates });
    const { out, leaked } = await runMethod(method, inputs, [5, 90, 40, 1], kind);
    expectClose(out, defined(compress, gate));
    expect(leaked).toBe(0);
    expect(Object.values(method.seconds).every((seconds) => seconds > 0)).toBe(true);
  });

  it("without weights averages runs and branches", { timeout: 30_000 }, async () => {
    const mean = (values: ArrayLike<number>) =>
      Float32Array.from({ length: headDim }, (_, d) => Array.from({ length: options.compressSize }, (__, t) => values[t * headDim + d] ?? NaN).reduce((a, b) => a + b) / options.compressSize);
    const { out } = await runMethod(createMethod("nsa", options), inputs, [length], kind);
    expectClose(out, defined(mean, () => 1 / 3));
  });
});

describe("options of NSA", () => {
  it("that contradict each other are refused", () => {
    expect(() => createMethod("nsa", { compressSize: 40 })).toThrow(/compressSize 40 is no multiple of compressStride 16/);
    expect(() => createMethod("nsa", { blocks: 2 })).toThrow(/more than the 2 blocks/);
    expect(() => createMethod("sparse")).toThrow(/no attention method "sparse"; there are full, infllm-v2/);
  });
});
