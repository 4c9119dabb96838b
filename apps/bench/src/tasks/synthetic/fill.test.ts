import fc from "fast-check";
import { expect, it } from "vitest";
import { largestThatFits } from "./fill.ts";

it("finds the largest size that fits, whatever the units weigh", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 7 }), fc.nat(5), fc.nat(5000), (weights, minimum, limit) => {
      const count = (size: number): number => {
        let total = 3;
        for (let unit = 0; unit < size; unit++) total += weights[unit % weights.length] as number;
        return total;
      };
      const size = largestThatFits(count, minimum, limit);
      expect(size === undefined).toBe(count(minimum) > limit);
      if (size === undefined) return;
      expect(count(size)).toBeLessThanOrEqual(limit);
      expect(count(size + 1)).toBeGreaterThan(limit);
    }),
  );
});

it("needs few counts", () => {
  let counts = 0;
  largestThatFits((size) => (counts++, 90 + Math.round(size * 1.31)), 50, 131_072);
  expect(counts).toBeLessThan(12);
});

it("returns a size that fits even when counts do not grow steadily", () => {
  const count = (size: number): number => size * 10 + ((size * 7919) % 23);
  const size = largestThatFits(count, 1, 3000);
  expect(count(size as number)).toBeLessThanOrEqual(3000);
});
