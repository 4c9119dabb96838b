import fc from "fast-check";
import { expect, it } from "vitest";
import { distinctBelow, randomFor, shuffled } from "./draw.ts";

it("gives the same numbers for the same parts only", () => {
  const first = (...parts: (string | number)[]) => randomFor(...parts).next();
  expect(first(1, "niah", 0)).toBe(first(1, "niah", 0));
  const others = [first(1, "niah", 1), first(2, "niah", 0), first(1, "vt", 0), first("1niah", 0), first(1, "niah0")];
  expect(new Set([first(1, "niah", 0), ...others]).size).toBe(6);
});

it("draws different integers below a bound", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(60), fc.nat(60), (seed, bound, count) => {
      fc.pre(count <= bound);
      const drawn = distinctBelow(randomFor(seed), bound, count);
      expect(new Set(drawn).size).toBe(count);
      expect(drawn.every((value) => value >= 0 && value < bound)).toBe(true);
    }),
  );
});

it("draws every subset and order about equally often", () => {
  const seen = new Map<string, number>();
  const from = randomFor(7);
  for (let turn = 0; turn < 6000; turn++) {
    const key = distinctBelow(from, 4, 2).join();
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  expect(seen.size).toBe(12);
  // 500 expected each; a standard deviation is about 21.
  for (const count of seen.values()) expect(Math.abs(count - 500)).toBeLessThan(110);
});

it("keeps what it shuffles", () => {
  fc.assert(
    fc.property(fc.integer(), fc.array(fc.integer()), (seed, items) => {
      expect(shuffled(randomFor(seed), items).sort()).toEqual([...items].sort());
    }),
  );
});
