import { afterAll, describe, expect, it } from "vitest";
import { byteLength, dtypeInfo, dtypes, f32ToF16, fromF32, random, toF32 } from "@infllm/tensor";
import type { WeightDType } from "@infllm/tensor";
import { cpuBackend } from "../src/index.ts";

/** Bytes of `rows × columns` weights: rounded normals, or for K-quants random blocks with sensible f16 scales. */
function weightBytes(dtype: WeightDType, rows: number, columns: number, seed: number): Uint8Array {
  const numbers = random(seed);
  if (dtype !== "q4_k" && dtype !== "q5_k" && dtype !== "q6_k") {
    return fromF32(dtype, Float32Array.from({ length: rows * columns }, () => numbers.normal()));
  }
  const bytes = Uint8Array.from({ length: byteLength(dtype, rows * columns) }, () => numbers.next() & 255);
  const view = new DataView(bytes.buffer);
  const { blockBytes } = dtypeInfo(dtype);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const scales = dtype === "q6_k" ? [208] : [0, 2];
    for (const offset of scales) view.setUint16(at + offset, f32ToF16(0.001 + numbers.uniform() * 0.02), true);
  }
  return bytes;
}

const kinds = dtypes.filter((dtype): dtype is WeightDType => !["i32", "u32", "u8"].includes(dtype));

describe("linear on stored weights, against float64 on the same values", async () => {
  const backend = await cpuBackend({ threads: 2 });
  afterAll(() => backend.close());

  for (const dtype of kinds) {
    const block = dtypeInfo(dtype).blockElements;
    // Below, at and above one slab of 512 columns; rows that fill no panel, a panel between parts of others, or several tasks.
    const shapes = block === 1 ? [[1, 1], [9, 7], [40, 512], [13, 1030], [29, 1037]] : [[1, block], [29, 2 * block], [14, 512 + block * 5]];
    for (const [rows = 0, columns = 0] of shapes) {
      it(`${dtype} [${rows}, ${columns}]`, async () => {
        const bytes = weightBytes(dtype, rows, columns, rows + columns);
        const values = toF32(dtype, bytes, rows * columns);
        const weight = backend.neural.allocateWeight(rows, columns, dtype);
        const half = Math.ceil(rows / 2);
        const rowBytes = bytes.length / rows;
        weight.writeRows(half, bytes.subarray(half * rowBytes));
        weight.writeRows(0, bytes.subarray(0, half * rowBytes));
        const numbers = random(7);
        const biasValues = Float32Array.from({ length: rows }, () => numbers.normal());
        const bias = backend.allocate("f32", [rows]);
        backend.write(bias, biasValues);
        for (const count of [1, 2, 3, 4, 7, 131]) {
          const input = Float32Array.from({ length: count * columns }, () => numbers.normal());
          const x = backend.allocate("f32", [count, columns + 3]).view({ columns: [2, columns + 2] });
          backend.write(x, input);
          const whole = backend.allocate("f32", [count + 2, rows + 2]);
          backend.write(whole, new Float32Array((count + 2) * (rows + 2)).fill(777));
          backend.neural.linear({ x, weight, bias, out: whole.view({ rows: [1, count + 1], columns: [1, rows + 1] }) });
          const out = (await backend.read(whole)) as Float32Array;
          for (let r = 0; r < count + 2; r++) {
            for (let c = 0; c < rows + 2; c++) {
              const actual = out[r * (rows + 2) + c] as number;
              if (r === 0 || r > count || c === 0 || c > rows) {
                expect(actual, `canary at row ${r}, column ${c}`).toBe(777);
                continue;
              }
              let [exact, terms] = [biasValues[c - 1] as number, Math.abs(biasValues[c - 1] as number)];
              for (let k = 0; k < columns; k++) {
                const term = (input[(r - 1) * columns + k] as number) * (values[(c - 1) * columns + k] as number);
                exact += term;
                terms += Math.abs(term);
              }
              // Each term is rounded once as a product and at most `columns + 1` times in sums; scales round once more.
              expect(Math.abs(actual - exact), `row ${r}, column ${c}`).toBeLessThanOrEqual((columns + 4) * 2 ** -24 * terms);
            }
          }
        }
      });
    }
  }

  it("one row of numbers that are not finite, or very small, on quantised weights", async () => {
    const columns = 256;
    for (const dtype of kinds.filter((name) => name.startsWith("q"))) {
      const bytes = weightBytes(dtype, 1, columns, 3);
      const values = toF32(dtype, bytes, columns);
      const weight = backend.neural.allocateWeight(1, columns, dtype);
      weight.writeRows(0, bytes);
      const [x, out] = [backend.allocate("f32", [1, columns]), backend.allocate("f32", [1, 1])];
      const product = async (input: Float32Array): Promise<number> => {
        backend.write(x, input);
        backend.neural.linear({ x, weight, out });
        return (await backend.read(out))[0] as number;
      };
      expect(await product(new Float32Array(columns).fill(NaN, 7, 8)), dtype).toBeNaN();
      expect(Number.isFinite(await product(new Float32Array(columns).fill(Infinity, 7, 8))), dtype).toBe(false);
      expect(await product(new Float32Array(columns)), dtype).toBe(0);
      const tiny = new Float32Array(columns).fill(2 ** -105);
      const exact = values.reduce((sum, value) => sum + value * 2 ** -105, 0);
      const terms = values.reduce((sum, value) => sum + Math.abs(value) * 2 ** -105, 0);
      expect(Math.abs((await product(tiny)) - exact), dtype).toBeLessThanOrEqual((columns + 4) * 2 ** -24 * terms);
    }
  });

  it("keeps no full f32 copy: a weight takes its stored bytes", () => {
    const before = backend.memory().used;
    for (const dtype of kinds) {
      const weight = backend.neural.allocateWeight(256, 1024, dtype);
      expect(weight.bytes).toBe(byteLength(dtype, 256 * 1024));
      expect(backend.memory().used - before).toBeLessThanOrEqual(weight.bytes + 64);
      weight.release();
    }
    expect(backend.memory().used).toBe(before);
  });
});
