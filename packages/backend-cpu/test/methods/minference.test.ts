import { createMethod, minference } from "@infllm/attention/methods";
import type { HeadPattern } from "@infllm/attention/methods";
import { describe, expect, it } from "vitest";
import { attendAs, dotAt, expectClose, methodInputs, rotated, runMethod } from "./method-run.ts";
import type { MethodInputs } from "./method-run.ts";

const inputs = methodInputs({ heads: 4, kvHeads: 2, headDim: 4, length: 360, seed: 4, sharpness: 2 });
const full = (row: number, _: number, token: number) => (token <= row ? ([row, token] as const) : undefined);

/** Indices of the `count` largest, a tie to the lower. */
function top(values: readonly number[], count: number): number[] {
  return values.map((value, id) => ({ value, id })).sort((a, b) => b.value - a.value || a.id - b.id).slice(0, count).map(({ id }) => id);
}

/** A [64, length]: attention probabilities of the last 64 queries. */
function lastQueries({ length, headDim }: MethodInputs, head: number): number[][] {
  return Array.from({ length: 64 }, (_, i) => {
    const row = length - 64 + i;
    const weights = Array.from({ length: row + 1 }, (__, token) => Math.exp(dotAt(inputs, row, head, token, row, token) / Math.sqrt(headDim)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return Array.from({ length }, (__, token) => (weights[token] ?? 0) / total);
  });
}

/** Mean of the rotated vectors of block `block` of one head, from row `first` on. */
function blockMean(what: "q" | "k", block: number, head: number, first = 0): number[] {
  const count = what === "q" ? inputs.heads : inputs.kvHeads;
  const rows = Array.from({ length: 64 }, (_, i) => block * 64 + i).filter((row) => row >= first && row < inputs.length);
  const vectors = rows.map((row) => rotated(inputs, inputs[what], (row * count + head) * inputs.headDim, row));
  return Array.from({ length: inputs.headDim }, (_, d) => vectors.reduce((sum, vector) => sum + (vector[d] ?? NaN), 0) / rows.length);
}

/** Whether a row of a step that begins at row `first` sees an earlier token, by head. */
function maskOf(pattern: HeadPattern, head: number, first: number): (row: number, token: number) => boolean {
  const tileEnd = (row: number) => (Math.floor(row / 64) + 1) * 64;
  if (pattern.kind === "a-shape") return (row, token) => token < pattern.sinks || token >= tileEnd(row) - pattern.window;
  if (pattern.kind === "block-sparse") {
    const kvHead = Math.floor(head / 2);
    const chosen = Array.from({ length: Math.ceil(inputs.length / 64) }, (_, tile) => {
      const query = blockMean("q", tile, head, first);
      return top(Array.from({ length: tile + 1 }, (__, block) => blockMean("k", block, kvHead).reduce((sum, value, d) => sum + value * (query[d] ?? NaN), 0)), pattern.blocks);
    });
    return (row, token) => chosen[Math.floor(row / 64)]?.includes(Math.floor(token / 64)) ?? false;
  }
  const probabilities = lastQueries(inputs, head);
  const columns = top(Array.from({ length: inputs.length }, (_, token) => (token < 30 ? Infinity : probabilities.reduce((sum, row) => sum + (row[token] ?? NaN), 0))), pattern.vertical);
  const ranked = top(
    Array.from({ length: inputs.length }, (_, distance) =>
      distance < 100 ? Infinity : probabilities.reduce((sum, row, i) => sum + (row[inputs.length - 64 + i - distance] ?? 0), 0)),
    inputs.length,
  );
  // Diagonals in this order as long as a tile far from the start reads no more than `slash` tokens along them.
  const read = new Set<number>();
  const diagonals: number[] = [];
  for (const distance of ranked) {
    const more = Array.from({ length: 64 }, (_, i) => distance + i).filter((at) => !read.has(at));
    if (read.size + more.length > pattern.slash) break;
    for (const at of more) read.add(at);
    diagonals.push(distance);
  }
  return (row, token) => columns.includes(token) || diagonals.some((distance) => token >= tileEnd(row) - 64 - distance && token < tileEnd(row) - distance);
}

const candidates: HeadPattern[] = [
  { kind: "a-shape", sinks: 64, window: 128 },
  { kind: "vertical-slash", vertical: 30, slash: 164 },
  { kind: "vertical-slash", vertical: 40, slash: 200 },
  { kind: "block-sparse", blocks: 3 },
];

/** The whole text in one step, or in two of which the first is short enough to be read densely. */
function masked(patterns: readonly HeadPattern[], first = 0): Float64Array {
  const masks = patterns.map((pattern, head) => maskOf(pattern, head, first));
  return attendAs(inputs, (row, head, token) => (row < first || masks[head]?.(row, token) ? full(row, head, token) : undefined));
}

describe("MInference", () => {
  it.each(["cpu", "reference"] as const)("reads each head by its pattern, %s", { timeout: 30_000 }, async (kind) => {
    const { out, leaked } = await runMethod(minference({ budget: 194, patterns: [candidates] }), inputs, [inputs.length], kind);
    expectClose(out, masked(candidates));
    expect(leaked).toBe(0);
  });

  it("reads what is added to a cached text by patterns of its own", { timeout: 30_000 }, async () => {
    const { out } = await runMethod(minference({ budget: 194, patterns: [candidates] }), inputs, [100, inputs.length - 100]);
    expectClose(out, masked(candidates, 100));
  });

  it("reads short prompts and decodes densely", async () => {
    const short = methodInputs({ heads: 2, kvHeads: 1, headDim: 4, length: 200, seed: 4 });
    const { out } = await runMethod(minference({ budget: 194 }), short, [190, 1]);
    expectClose(out, attendAs(short, full));
  });

  it("finds for each head the pattern of least squared error, and keeps it", { timeout: 60_000 }, async () => {
    const method = minference({ budget: 194 });
    const { out } = await runMethod(method, inputs, [inputs.length]);
    const [found] = method.found();
    const budgeted: HeadPattern[] = [
      { kind: "a-shape", sinks: 64, window: 130 },
      { kind: "vertical-slash", vertical: 30, slash: 164 },
      { kind: "vertical-slash", vertical: 48, slash: 146 },
      { kind: "vertical-slash", vertical: 97, slash: 97 },
      { kind: "block-sparse", blocks: 3 },
    ];
    const exact = attendAs(inputs, full);
    const errors = budgeted.map((pattern) => {
      const output = masked(Array.from({ length: inputs.heads }, () => pattern));
      return Array.from({ length: inputs.heads }, (_, head) => {
        let error = 0;
        for (let i = 0; i < output.length; i++) {
          if (Math.floor(i / inputs.headDim) % inputs.heads === head) error += ((output[i] ?? NaN) - (exact[i] ?? NaN)) ** 2;
        }
        return error;
      });
    });
    found?.forEach((pattern, head) => {
      const ofHead = errors.map((error) => error[head] ?? NaN);
      expect(pattern, `head ${head}: ${ofHead.join(" ")}`).toEqual(budgeted[ofHead.indexOf(Math.min(...ofHead))]);
    });
    expect(found).toHaveLength(inputs.heads);
    const again = await runMethod(minference({ budget: 194, patterns: method.found() }), inputs, [inputs.length]);
    expect(again.out).toEqual(out);
  });

  it("refuses patterns that are none, budgets below what every head keeps, and patterns for other heads", async () => {
    expect(() => createMethod("minference", { budget: 193 })).toThrow(/budget is 193; it must be a whole number from 194/);
    expect(() => createMethod("minference", { patterns: [[{ kind: "a-shape", sinks: 4 }]] })).toThrow(/a list of layers, each a list of head patterns/);
    await expect(runMethod(minference({ patterns: [[{ kind: "block-sparse", blocks: 3 }]] }), inputs, [inputs.length])).rejects.toThrow(/layer 0 has 4 heads, but patterns for 1/);
  });
});
