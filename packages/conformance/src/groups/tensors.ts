/** Memory: allocate, write, read, view, release. */
import { UsageError } from "@infllm/tensor";
import { expect } from "vitest";
import type { Checks } from "../checks.ts";
import { expectSame, mustBe } from "../compare.ts";

const ramp = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i + 1);

export function tensorCases(checks: Checks): void {
  checks.group("tensors", () => {
    for (const dtype of ["f32", "f16", "bf16", "i32", "u32", "u8"] as const) {
      checks.check(`${dtype} comes back as written`, async (device) => {
        const tensor = device.tensor(dtype, [5, 3, 7], ramp(105));
        expectSame(dtype, await device.read(tensor), ramp(105));
      });
    }

    checks.check("rows can be written from an offset", async (device) => {
      const tensor = device.tensor("f32", [4, 3], new Float32Array(12));
      device.backend.write(tensor, ramp(6), 1);
      expectSame("rows 1 and 2", await device.read(tensor), [0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0]);
    });

    checks.check("a view shares memory, and a view of a view does", async (device) => {
      const whole = device.tensor("f32", [4, 5], ramp(20));
      const inner = whole.view({ rows: [1, 4], columns: [1, 5] }).view({ rows: [1, 3], columns: [1, 3] });
      expect(inner.shape).toEqual([2, 2]);
      expect(inner.rowStride).toBe(5);
      expectSame("read through the view", await device.read(inner), [13, 14, 18, 19]);
      device.write(inner, [-1, -2, -3, -4]);
      const expected = ramp(20);
      for (const [at, value] of [[12, -1], [13, -2], [17, -3], [18, -4]] as const) expected[at] = value;
      expectSame("written through the view", await device.read(whole), expected);
    });

    checks.check("releasing a view leaves the tensor", async (device) => {
      const tensor = device.tensor("f32", [2, 2], ramp(4));
      tensor.view({ rows: [0, 1] }).release();
      expectSame("tensor", await device.read(tensor), ramp(4));
    });

    if (checks.backend.capabilities.runsLater) {
      checks.check("a read takes what was enqueued before it, whatever comes after", async (device) => {
        const tensor = device.tensor("i32", [1], [1]);
        const reads: Promise<Float32Array>[] = [];
        for (let value = 2; value < 10; value++) {
          reads.push(device.read(tensor));
          device.write(tensor, [value]);
        }
        expectSame("reads", (await Promise.all(reads)).map(([value = NaN]) => value), [1, 2, 3, 4, 5, 6, 7, 8]);
      });
    }

    checks.check("data of many megabytes arrives whole, between others", async (device) => {
      const [rows, columns] = [3000, 1001];
      const values = Int32Array.from({ length: rows * columns }, (_, i) => Math.imul(i, 0x9e3779b1));
      const small = device.tensor("i32", [2], [7, 8]);
      const tensor = device.allocate("i32", [rows, columns]);
      device.backend.write(tensor, values);
      device.write(small, [9, 10]);
      const [whole, part] = await Promise.all([device.backend.read(tensor), device.backend.read(tensor.view({ columns: [1000, 1001] }))]);
      expect(whole.length === values.length && whole.every((value, i) => value === values[i])).toBe(true);
      expect(part.length === rows && part.every((value, row) => value === values[row * columns + 1000])).toBe(true);
      expectSame("small", await device.read(small), [9, 10]);
    });

    if (checks.backend.uploadMemory !== undefined) {
      checks.check("data arrives from memory that is lent, which may change once it was fetched", async (device) => {
        const lent = device.hold(mustBe(device.backend.uploadMemory?.(2 ** 20)));
        const numbers = new Int32Array(lent.bytes.buffer, lent.bytes.byteOffset, 2 ** 18);
        const tensors = [0, 1, 2, 3].map((skipped) => device.allocate("i32", [numbers.length - skipped]));
        for (const [round, tensor] of tensors.entries()) {
          await lent.fetched();
          for (let i = 0; i < numbers.length; i++) numbers[i] = Math.imul(i, round + 3);
          device.backend.write(tensor, numbers.subarray(round));
        }
        await lent.fetched();
        numbers.fill(-1);
        for (const [round, tensor] of tensors.entries()) {
          const values = await device.backend.read(tensor);
          expect(values.every((value, i) => value === Math.imul(i + round, round + 3))).toBe(true);
        }
      });
    }

    checks.check("memory use counts tensors", async (device) => {
      const before = device.backend.memory();
      device.allocate("f32", [256, 1024]);
      expect(device.backend.memory().used - before.used).toBeGreaterThanOrEqual(2 ** 20);
      device.releaseAll();
      expect(device.backend.memory().used).toBe(before.used);
    });

    checks.check("views outside the tensor are refused", async (device) => {
      const tensor = device.allocate("f32", [4, 5]);
      expect(() => tensor.view({ rows: [0, 5] })).toThrow();
      expect(() => tensor.view({ columns: [3, 2] })).toThrow();
    });

    checks.check("data that does not fit is refused", async (device) => {
      const tensor = device.allocate("f32", [4, 5]);
      expect(() => device.backend.write(tensor, ramp(21))).toThrow();
      expect(() => device.backend.write(tensor, ramp(10), 3)).toThrow();
      expect(() => device.backend.write(tensor, new Int32Array(20))).toThrow();
    });

    checks.check("a released tensor is refused", async (device) => {
      const tensor = device.backend.allocate("f32", [4]);
      tensor.release();
      await expect(async () => device.backend.read(tensor)).rejects.toThrow(UsageError);
    });
  });
}
