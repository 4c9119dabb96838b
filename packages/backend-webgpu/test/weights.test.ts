import "./lavapipe.ts";
import { fromF32, random, toF32 } from "@infllm/tensor";
import type { WeightDType } from "@infllm/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { findAdapter } from "../src/gpu.ts";
import { webgpuBackend } from "../src/index.ts";

describe("products larger than conformance has them", async () => {
  const device = await (await findAdapter({})).requestDevice();
  const backend = await webgpuBackend({ device, activation: "f32" });
  afterAll(async () => {
    await backend.close();
    device.destroy();
  });

  for (const [dtype, columns] of [["f32", 99], ["bf16", 64], ["q8_0", 96], ["q4_0", 32]] as const) {
    it(`[1030, ${columns}] × [1030, ${columns}]ᵀ of ${dtype} + bias`, async () => {
      const [rows, outputs] = [1030, 1030];
      const numbers = random(columns);
      const bytes = fromF32(dtype, numbers.normals(outputs * columns));
      const values = toF32(dtype, bytes, outputs * columns);
      const weight = backend.neural.allocateWeight(outputs, columns, dtype);
      weight.writeRows(0, bytes);
      const [input, offsets] = [numbers.normals(rows * columns), numbers.normals(outputs)];
      const [x, bias] = [backend.allocate("f32", [rows, columns]), backend.allocate("f32", [outputs])];
      backend.write(x, input);
      backend.write(bias, offsets);
      const out = backend.allocate("f32", [rows, outputs]);
      backend.neural.linear({ x, weight, bias, out });
      expectProduct((await backend.read(out)) as Float32Array, { input, values, offsets, rows, outputs, columns });
      for (const each of [weight, x, bias, out]) each.release();
    });
  }

  it("a weight of several buffers: 138 MiB where a binding reaches 128", async () => {
    const [outputs, columns] = [4096, 8448];
    const dtype: WeightDType = "f32";
    expect(device.limits.maxStorageBufferBindingSize).toBeLessThan(outputs * columns * 4);
    const values = Float32Array.from({ length: outputs * columns }, (_, i) => ((Math.imul(i, 0x9e3779b1) >>> 16) - 32768) / 65536);
    const weight = backend.neural.allocateWeight(outputs, columns, dtype);
    weight.writeRows(0, new Uint8Array(values.buffer));
    const input = random(5).normals(2 * columns);
    const x = backend.allocate("f32", [2, columns]);
    backend.write(x, input);
    const out = backend.allocate("f32", [2, outputs]);
    backend.neural.linear({ x, weight, out });
    expectProduct((await backend.read(out)) as Float32Array, { input, values, rows: 2, outputs, columns });
    const ids = backend.allocate("i32", [3]);
    backend.write(ids, Int32Array.of(4095, 0, 4000));
    const embedded = backend.allocate("f32", [3, columns]);
    backend.neural.embed({ ids, table: weight, scale: 1, out: embedded });
    const rows = (await backend.read(embedded)) as Float32Array;
    for (const [i, id] of [4095, 0, 4000].entries()) {
      expect(rows.subarray(i * columns, (i + 1) * columns)).toEqual(values.subarray(id * columns, (id + 1) * columns));
    }
    for (const each of [weight, x, out, ids, embedded]) each.release();
  });
});

interface Product {
  readonly input: Float32Array;
  readonly values: Float32Array;
  readonly offsets?: Float32Array;
  readonly rows: number;
  readonly outputs: number;
  readonly columns: number;
}

/** Every number of some rows against float64: within the rounding of each term. */
function expectProduct(out: Float32Array, { input, values, offsets, rows, outputs, columns }: Product): void {
  for (const row of new Set([0, 1, 63, 64, 127, 128, 1023, 1024, rows - 1].filter((each) => each < rows))) {
    for (let output = 0; output < outputs; output++) {
      let sum = offsets?.[output] ?? 0;
      let terms = Math.abs(sum);
      for (let i = 0; i < columns; i++) {
        const term = (input[row * columns + i] as number) * (values[output * columns + i] as number);
        sum += term;
        terms += Math.abs(term);
      }
      const off = Math.abs((out[row * outputs + output] as number) - sum);
      if (!(off <= (Math.sqrt(columns) + 4) * 2 ** -23 * terms)) {
        throw new Error(`row ${row}, output ${output} is ${out[row * outputs + output]}, expected ${sum}`);
      }
    }
  }
}
