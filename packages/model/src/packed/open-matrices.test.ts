import { random } from "@infllm/tensor";
import { expect, it } from "vitest";
import { compressedLayout } from "./layouts/compressed-tensors.ts";
import { OpenMatrices } from "./open-matrices.ts";
import { packedRows } from "./packed-rows.ts";
import type { PackedMatrix } from "./packed-rows.ts";

const COLUMNS = 256;

function matrix(rows: number, seed: number): PackedMatrix {
  const source = random(seed);
  const shape = { rows, columns: COLUMNS, groups: 2 };
  return {
    layout: compressedLayout,
    shape,
    dtype: "q4_g128",
    quants: Uint32Array.from({ length: (rows * COLUMNS) / 8 }, () => source.next()),
    scales: Uint16Array.from({ length: 2 * rows }, () => source.below(0x7c00)),
    zeros: new Uint8Array(2 * rows).fill(8),
  };
}

/** Matrices whose quants are put into the memory that is given. */
function opened(sizes: readonly number[]) {
  const modules = sizes.map((rows, i) => ({ shape: { rows, columns: COLUMNS, groups: 2 }, whole: matrix(rows, i) }));
  const reads: { readonly module: number; readonly memory: Uint8Array }[] = [];
  const largest = (Math.max(...sizes) * COLUMNS) / 2;
  const matrices = new OpenMatrices<(typeof modules)[number]>(largest, async (module, memory) => {
    reads.push({ module: modules.indexOf(module), memory });
    await new Promise((resolve) => setImmediate(resolve));
    const quants = new Uint32Array(memory.buffer, 0, module.whole.quants.length);
    quants.set(module.whole.quants);
    return { ...module.whole, quants };
  });
  return { modules, matrices, reads };
}

it("reads each matrix once, in no more memories than reads of rows are under way", async () => {
  const { modules, matrices, reads } = opened([8, 8, 8, 64, 8, 24, 48, 8, 8]);
  const asked = modules.flatMap((module) => Array.from({ length: module.shape.rows / 8 }, (_, i) => ({ module, from: 8 * i })));
  const rowsOf = ({ module, from }: (typeof asked)[number]) => matrices.rows(module, from, from + 8, new Uint8Array(2000));
  const ahead = asked.slice(0, 3).map(rowsOf);
  for (const [i, { module, from }] of asked.entries()) {
    expect(Buffer.compare((await ahead.shift()) ?? new Uint8Array(), packedRows(module.whole, from, from + 8))).toBe(0);
    const next = asked[i + 3];
    if (next !== undefined) ahead.push(rowsOf(next));
  }
  expect(reads.map(({ module }) => module)).toEqual(modules.map((_, i) => i));
  expect(new Set(reads.map(({ memory }) => memory)).size).toBe(3);
});

it("gives the rows asked for in any order", async () => {
  const { modules, matrices, reads } = opened([32, 32]);
  const [a, b] = modules;
  if (a === undefined || b === undefined) throw new Error("two modules");
  const asked = [[a, 8, 16], [b, 0, 32], [a, 0, 32], [a, 24, 32], [b, 3, 5]] as const;
  const rows = await Promise.all(asked.map(([module, from, to]) => matrices.rows(module, from, to, undefined)));
  rows.forEach((data, i) => {
    const [module, from, to] = asked[i] ?? [a, 0, 0];
    expect(Buffer.compare(data, packedRows(module.whole, from, to))).toBe(0);
  });
  expect(reads.map(({ module }) => module)).toEqual([0, 1, 0, 0, 1]);
});

it("reads again what could not be read", async () => {
  const whole = matrix(16, 1);
  let reads = 0;
  const matrices = new OpenMatrices<{ shape: PackedMatrix["shape"] }>(16 * 128, async () => {
    if (reads++ === 0) throw new Error("gone");
    return whole;
  });
  const module = { shape: whole.shape };
  const both = await Promise.allSettled([matrices.rows(module, 0, 8, undefined), matrices.rows(module, 8, 12, undefined)]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await matrices.rows(module, 0, 8, undefined)).toEqual(packedRows(whole, 0, 8));
  expect(reads).toBe(2);
});
