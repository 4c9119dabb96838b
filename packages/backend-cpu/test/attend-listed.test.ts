import { TILE_WORDS } from "@infllm/attention";
import type { HostOps } from "@infllm/attention";
import { ShapeError, random } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { cpuBackend, referenceBackend } from "../src/index.ts";
import type { CpuBackend } from "../src/index.ts";

const shapes = [
  { headDim: 64, heads: 4, kvHeads: 1, rows: 9, length: 200 },
  { headDim: 12, heads: 4, kvHeads: 2, rows: 5, length: 70 },
  { headDim: 7, heads: 3, kvHeads: 3, rows: 2, length: 11 },
];

type Shape = (typeof shapes)[number];

/** A list for every pair of rows and every head: about half of all tokens. */
function randomLists({ heads, rows, length }: Shape, seed: number) {
  const { uniform, below } = random(seed);
  const tiles: number[] = [];
  const tokens: number[] = [];
  for (let row = 0; row < rows; row += 2) {
    for (let head = 0; head < heads; head++) {
      const list = Array.from({ length }, (_, token) => token).filter(() => uniform() < 0.5);
      tiles.push(row, Math.min(2, rows - row), head, 1, tokens.length, list.length);
      tokens.push(...list);
    }
  }
  const bounds = Array.from({ length: rows }, (_, row) => (row === 1 ? [length, -1] : [below(length / 2), length / 2 + below(length / 2)])).flat();
  return { tiles: Int32Array.from(tiles), tokens: Int32Array.from(tokens), bounds: Int32Array.from(bounds) };
}

/** Softmax over all tokens, with what a row may not see masked: float64, one row and head at a time. */
function defined(shape: Shape, inputs: { q: Float32Array; k: Float32Array; v: Float32Array }, lists: ReturnType<typeof randomLists>, always: number) {
  const { headDim, heads, kvHeads, rows, length } = shape;
  const out = new Float64Array(rows * heads * headDim);
  const lse = new Float64Array(rows * heads);
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const tile = Math.floor(row / 2) * heads + head;
      const [, , , , from = 0, entries = 0] = lists.tiles.subarray(tile * TILE_WORDS, (tile + 1) * TILE_WORDS);
      const listed = new Set(lists.tokens.subarray(from, from + entries));
      const [first = 0, last = 0] = lists.bounds.subarray(2 * row, 2 * row + 2);
      const kvHead = Math.floor((head * kvHeads) / heads);
      let total = 0;
      for (let token = 0; token < length; token++) {
        if (!listed.has(token) || token > last || (token < first && token >= always)) continue;
        let logit = 0;
        for (let d = 0; d < headDim; d++) {
          logit += (inputs.q[(row * heads + head) * headDim + d] ?? NaN) * (inputs.k[(token * kvHeads + kvHead) * headDim + d] ?? NaN);
        }
        const weight = Math.exp(logit / Math.sqrt(headDim));
        total += weight;
        for (let d = 0; d < headDim; d++) {
          const at = (row * heads + head) * headDim + d;
          out[at] = (out[at] ?? 0) + weight * (inputs.v[(token * kvHeads + kvHead) * headDim + d] ?? NaN);
        }
      }
      lse[row * heads + head] = Math.log(total);
      if (total === 0) continue;
      for (let d = 0; d < headDim; d++) {
        const at = (row * heads + head) * headDim + d;
        out[at] = (out[at] ?? 0) / total;
      }
    }
  }
  return { out, lse };
}

function hostOf(backend: CpuBackend): HostOps {
  if (backend.host === undefined) throw new Error("The cpu backends have host ops.");
  return backend.host;
}

async function listed(backend: CpuBackend, shape: Shape, always: number) {
  const { headDim, heads, kvHeads, rows, length } = shape;
  const { normals } = random(5);
  const inputs = { q: normals(rows * heads * headDim), k: normals(length * kvHeads * headDim), v: normals(length * kvHeads * headDim) };
  const tensor = (count: number, data: Float32Array) => {
    const made = backend.allocate("f32", [count, data.length / count]);
    backend.write(made, data);
    return made;
  };
  const [q, k, v] = [tensor(rows, inputs.q), tensor(length, inputs.k), tensor(length, inputs.v)];
  const out = tensor(rows, new Float32Array(inputs.q.length));
  const lse = new Float32Array(rows * heads);
  const lists = randomLists(shape, 11);
  hostOf(backend).attendListed({ q, k, v, headDim, scale: 1 / Math.sqrt(headDim), ...lists, always, out, lse });
  return { result: hostOf(backend).readNow(out), lse, expected: defined(shape, inputs, lists, always) };
}

describe.each([
  ["reference", async () => referenceBackend()],
  ["one thread", () => cpuBackend({ threads: 1 })],
  ["two threads", () => cpuBackend({ threads: 2 })],
] as const)("attention over listed tokens, %s", (_, make) => {
  it.each(shapes.flatMap((shape) => [{ ...shape, always: 0 }, { ...shape, always: 4 }]))("is the masked softmax, %o", async ({ always, ...shape }) => {
    const backend = await make();
    const { result, lse, expected } = await listed(backend, shape, always);
    expected.out.forEach((value, i) => expect(result[i], `out ${i}`).toBeCloseTo(value, 5));
    expected.lse.forEach((value, i) => (value === -Infinity ? expect(lse[i]).toBe(value) : expect(lse[i], `lse ${i}`).toBeCloseTo(value, 5)));
    await backend.close();
  });

  it("refuses lists that do not fit", async () => {
    const backend = await make();
    const tensor = (rows: number, columns: number) => backend.allocate("f32", [rows, columns]);
    const fitting = {
      q: tensor(2, 8), k: tensor(3, 4), v: tensor(3, 4), out: tensor(2, 8), headDim: 4, scale: 1,
      tiles: Int32Array.of(0, 2, 0, 2, 0, 1), tokens: Int32Array.of(2), bounds: Int32Array.of(0, 9, 0, 9),
    };
    const { attendListed } = hostOf(backend);
    expect(() => attendListed(fitting)).not.toThrow();
    expect(() => attendListed({ ...fitting, tokens: Int32Array.of(3) })).toThrow(/token 3 is listed; there are 3/);
    expect(() => attendListed({ ...fitting, tiles: Int32Array.of(1, 2, 0, 2, 0, 1) })).toThrow(/tile 0 has rows 1 to 2/);
    expect(() => attendListed({ ...fitting, bounds: Int32Array.of(0, 9) })).toThrow(ShapeError);
    expect(() => attendListed({ ...fitting, headDim: 3 })).toThrow(/whole heads of 3/);
    await backend.close();
  });
});
