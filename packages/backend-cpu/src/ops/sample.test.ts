import { describe, expect, it } from "vitest";
import { random } from "@infllm/tensor";
import { referenceBackend } from "../reference/index.ts";
import { sampleRow } from "./sample.ts";

/** What the reference chooses for the same row. */
async function expected(logits: Float32Array, settings: Float32Array): Promise<number> {
  const backend = referenceBackend();
  const tensors = {
    logits: backend.allocate("f32", [1, logits.length]),
    settings: backend.allocate("f32", [1, 4]),
    out: backend.allocate("i32", [1]),
  };
  backend.write(tensors.logits, logits);
  backend.write(tensors.settings, settings);
  backend.neural.sample(tensors);
  return (await backend.read(tensors.out))[0] as number;
}

describe("sampleRow", () => {
  const numbers = random(5);
  const spreads = { flat: 0.1, usual: 3, peaked: 30 };
  for (const [name, spread] of Object.entries(spreads)) {
    it(`chooses as the reference does, also beyond the tokens it ranks first: ${name} logits`, async () => {
      for (let run = 0; run < 150; run++) {
        const logits = Float32Array.from({ length: 300 }, () => Math.round(numbers.normal() * spread * 4) / 4);
        const pick = <T>(values: readonly T[]): T => values[Math.floor(numbers.uniform() * values.length)] as T;
        const settings = Float32Array.of(pick([0, 0.05, 0.7, 1, 4]), pick([0, 1, 3, 50, 299, 1000]), pick([0.01, 0.5, 0.9, 1]), pick([0, numbers.uniform(), 0.9999999]));
        expect(sampleRow(logits, settings)).toBe(await expected(logits, settings));
      }
    });
  }

  it("is −1 for NaN and where nothing is finite", () => {
    expect(sampleRow(Float32Array.of(1, NaN, 2), Float32Array.of(0, 0, 1, 0))).toBe(-1);
    expect(sampleRow(Float32Array.of(-Infinity, -Infinity), Float32Array.of(1, 0, 1, 0.5))).toBe(-1);
  });
});
