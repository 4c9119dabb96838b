import { fromF32, random, toF32 } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { gptqRows } from "./gptq-rows.ts";
import { DAMPING, inverseFactor } from "./inverse-factor.ts";

/** Σ x·xᵀ of `count` correlated inputs, and the inputs. */
function inputs(columns: number, count: number, seed: number): { x: Float32Array; products: Float64Array } {
  const numbers = random(seed);
  const mixing = numbers.normals(columns * 8);
  const x = new Float32Array(count * columns);
  for (let row = 0; row < count; row++) {
    const causes = numbers.normals(8);
    const noise = numbers.normals(columns, 0.3);
    for (let column = 0; column < columns; column++) {
      x[row * columns + column] = causes.reduce((sum, cause, i) => sum + cause * (mixing[column * 8 + i] ?? 0), noise[column] ?? 0);
    }
  }
  const products = new Float64Array(columns * columns);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        products[i * columns + j] = (products[i * columns + j] ?? 0) + (x[row * columns + i] ?? 0) * (x[row * columns + j] ?? 0);
      }
    }
  }
  return { x, products };
}

/** Mean squared difference of x · weightᵀ. */
function outputError(x: Float32Array, weights: Float32Array, rounded: Float32Array, columns: number): number {
  const [rows, outputs] = [x.length / columns, weights.length / columns];
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let difference = 0;
      for (let k = 0; k < columns; k++) {
        difference += (x[row * columns + k] ?? NaN) * ((weights[output * columns + k] ?? NaN) - (rounded[output * columns + k] ?? NaN));
      }
      sum += difference ** 2;
    }
  }
  return sum / rows / outputs;
}

describe("inverseFactor", () => {
  it("gives U with UᵀU · (H + damping) = 1, upper triangular", () => {
    const n = 48;
    const { products } = inputs(n, 200, 1);
    const mean = products.reduce((sum, value, i) => sum + (i % (n + 1) === 0 ? value / n : 0), 0);
    const damped = products.map((value, i) => (i % (n + 1) === 0 ? value + DAMPING * mean : value));
    const u = inverseFactor(products.slice(), n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) expect(u[i * n + j]).toBe(0);
      for (let j = 0; j < n; j++) {
        let value = 0;
        for (let k = 0; k < n; k++) {
          let inverse = 0;
          for (let m = 0; m <= Math.min(i, k); m++) inverse += (u[m * n + i] ?? NaN) * (u[m * n + k] ?? NaN);
          value += inverse * (damped[k * n + j] ?? NaN);
        }
        expect(value).toBeCloseTo(i === j ? 1 : 0, 9);
      }
    }
  });

  it("leaves columns alone that no input used", () => {
    const n = 4;
    const h = Float64Array.of(4, 0, 2, 0, 0, 0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 1);
    const u = inverseFactor(h, n);
    for (const other of [0, 2, 3]) expect(u[Math.min(1, other) * n + Math.max(1, other)]).toBe(0);
    expect(Number.isFinite(u[n + 1])).toBe(true);
  });

  it("refuses what is no sum of products", () => {
    expect(() => inverseFactor(Float64Array.of(1, 5, 5, 1), 2)).toThrow(/not positive definite \(column 0/);
  });
});

describe("gptqRows", () => {
  const columns = 256;
  const { x, products } = inputs(columns, 400, 2);
  const weights = random(3).normals(20 * columns, 0.05);

  it("changes the output several times less than rounding to nearest", () => {
    const rounded = toF32("q4_g128", gptqRows(weights.slice(), columns, inverseFactor(products.slice(), columns)), weights.length);
    const nearest = toF32("q4_g128", fromF32("q4_g128", weights), weights.length);
    expect(outputError(x, weights, rounded, columns)).toBeLessThan(outputError(x, weights, nearest, columns) / 4);
  });

  it("is rounding to nearest where inputs have nothing to do with each other", () => {
    const identity = new Float64Array(columns * columns);
    for (let i = 0; i < columns; i++) identity[i * columns + i] = 1;
    expect(gptqRows(weights.slice(), columns, inverseFactor(identity, columns))).toEqual(fromF32("q4_g128", weights));
  });

  it("gives a row the same quants in any company", () => {
    const factor = inverseFactor(products.slice(), columns);
    const all = gptqRows(weights.slice(), columns, factor);
    const one = gptqRows(weights.slice(17 * columns, 18 * columns), columns, factor);
    expect(all.subarray(17 * one.length, 18 * one.length)).toEqual(one);
  });
});
