import { describe, expect, it } from "vitest";
import { ShapeError } from "./errors.ts";
import { hostArray, hostF32, hostTensor } from "./host-tensor.ts";
import { random } from "./random.ts";
import { asMatrix, assertShape, elementCount, rowBytes, strides, tensorBytes } from "./shape.ts";

describe("shapes", () => {
  it("count, stride and flatten", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 0, 3])).toBe(0);
    expect(strides([2, 3, 4])).toEqual([12, 4, 1]);
    expect(asMatrix([2, 3, 4])).toEqual({ rows: 6, columns: 4 });
    expect(asMatrix([])).toEqual({ rows: 1, columns: 1 });
    expect(asMatrix([7])).toEqual({ rows: 1, columns: 7 });
    expect(tensorBytes("q4_k", [3, 512])).toBe(3 * 2 * 144);
    expect(rowBytes("bf16", 5)).toBe(10);
  });

  it.each([[[-1]], [[1.5]], [[NaN]], [[2 ** 30, 2 ** 30]]])("refuse %j", (shape) => {
    expect(() => elementCount(shape)).toThrow(ShapeError);
  });

  it("refuse rows that are no whole blocks, though the total would be", () => {
    expect(() => tensorBytes("q8_0", [2, 16])).toThrow(/multiple of 32/);
  });

  it("are asserted with the needed shape in the message", () => {
    assertShape("q", [5, 8], [-1, 8]);
    expect(() => assertShape("q", [5, 9], [-1, 8])).toThrow("q has shape [5, 9]; [any, 8] is needed.");
    expect(() => assertShape("q", [5], [-1, 8])).toThrow(ShapeError);
  });
});

describe("host tensors", () => {
  it("share the data they are made of", () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const tensor = hostTensor("f32", [2, 2], data.subarray(0, 4));
    data[0] = 5;
    expect(hostF32(tensor)).toEqual(Float32Array.of(5, 2, 3, 4));
    expect(hostArray(tensor)).toEqual(data);
  });

  it("are given to backends as arrays of their elements, from unaligned bytes too", () => {
    const shifted = new Uint8Array(9).subarray(1);
    shifted.set(new Uint8Array(Int32Array.of(-2, 3).buffer));
    expect(hostArray(hostTensor("i32", [2], shifted))).toEqual(Int32Array.of(-2, 3));
    expect(hostArray(hostTensor("f16", [4], shifted))).toBeInstanceOf(Uint16Array);
    expect(hostArray(hostTensor("u32", [2], shifted))).toBeInstanceOf(Uint32Array);
    expect(hostArray(hostTensor("u8", [8], shifted))).toEqual(shifted);
  });

  it("refuse data of another length", () => {
    expect(() => hostTensor("f32", [3], new Float32Array(2))).toThrow("f32 [3] takes 12 bytes; 8 were given");
  });
});

describe("random", () => {
  it("repeats for a seed and differs between seeds", () => {
    const first = Array.from({ length: 4 }, random(7).next);
    expect(Array.from({ length: 4 }, random(7).next)).toEqual(first);
    expect(Array.from({ length: 4 }, random(8).next)).not.toEqual(first);
    expect(random(2 ** 32 + 7).next()).not.toBe(random(7).next());
  });

  it("never changes its numbers: data made from seeds depends on them", () => {
    expect(Array.from({ length: 3 }, random(1).next)).toEqual([393288148, 2174103013, 3814759091]);
  });

  it("has the moments of its distributions", () => {
    const generator = random(5);
    const uniforms = Array.from({ length: 20_000 }, generator.uniform);
    expect(Math.min(...uniforms)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniforms)).toBeLessThan(1);
    // Four standard errors of the mean: 4 / sqrt(12 · 20,000).
    expect(Math.abs(uniforms.reduce((a, b) => a + b) / 20_000 - 0.5)).toBeLessThan(0.0082);
    const normals = generator.normals(20_000, 2);
    const mean = normals.reduce((a, b) => a + b) / 20_000;
    const variance = normals.reduce((a, b) => a + (b - mean) ** 2, 0) / 20_000;
    expect(Math.abs(mean)).toBeLessThan(4 * (2 / Math.sqrt(20_000)));
    expect(Math.abs(variance - 4)).toBeLessThan(4 * 4 * Math.sqrt(2 / 20_000));
    const dice = Array.from({ length: 6000 }, () => generator.below(6));
    for (let face = 0; face < 6; face++) expect(dice.filter((value) => value === face).length).toBeGreaterThan(850);
  });
});
