import { describe, expect, it } from "vitest";
import { parts, perplexityFigures } from "./figures.ts";

const length = 2 * parts;
const logProbs = Float64Array.from({ length }, (_, index) => (index === 0 ? Number.NaN : index < parts ? -1 : -2));

describe("perplexityFigures", () => {
  it("averages over every predicted token, and by position", () => {
    const figures = perplexityFigures([{ logProbs, keys: [] }]);
    expect(figures["tokens"]).toBe(length - 1);
    expect(figures["nll"]).toBeCloseTo((parts - 1 + 2 * parts) / (length - 1), 12);
    const byPosition = figures["byPosition"] as { to: number; nll: number }[];
    expect(byPosition.map(({ nll }) => nll)).toEqual([...Array<number>(parts / 2).fill(1), ...Array<number>(parts / 2).fill(2)]);
    expect(byPosition.at(-1)?.to).toBe(length);
  });

  it("takes LongPPL over the key tokens of all texts", () => {
    const figures = perplexityFigures([{ logProbs, keys: [1, length - 1] }, { logProbs, keys: [2] }]);
    expect(figures["keyTokens"]).toBe(3);
    expect(figures["longPpl"]).toBeCloseTo(Math.exp((1 + 2 + 1) / 3), 12);
    expect(perplexityFigures([{ logProbs, keys: [] }])["longPpl"]).toBeNull();
  });
});
