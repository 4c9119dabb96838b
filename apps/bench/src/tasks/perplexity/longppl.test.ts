import fc from "fast-check";
import { expect, it } from "vitest";
import { keyTokens, perplexityOf, shortWindows } from "./longppl.ts";

it("takes tokens that gain more than 2 nats and are likelier than e^-2", () => {
  //            key   gain 2.0   too unlikely  no gain  not scored  key
  const long = [-0.5, -0.5,      -2.5,         -0.1,    -0.1,       -1.9];
  const short = [-3,  -2.5,      -9,           -0.2,    Number.NaN, -4];
  expect(keyTokens(long, short)).toEqual([0, 5]);
  expect(keyTokens(long, short, { gain: 1.5, likelihood: -3 })).toEqual([0, 1, 2, 5]);
  expect(() => keyTokens([0], [])).toThrow(/1 from the long one, 0 from the short one/);
});

it("is the perplexity of the key tokens alone", () => {
  expect(perplexityOf([-1, -100, -3], [0, 2])).toBeCloseTo(Math.exp(2), 12);
  expect(perplexityOf([-1], [])).toBeNaN();
});

it("scores every token behind the first short context once, with K to K + d - 1 tokens before it", () => {
  fc.assert(
    fc.property(fc.nat(500), fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 40 }), (length, context, stride) => {
      const windows = shortWindows(length, context, stride);
      const scored = windows.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, index) => from + index));
      expect(scored).toEqual(Array.from({ length: Math.max(0, length - context) }, (_, index) => context + index));
      for (const { start, from, to } of windows) {
        expect(from - start).toBe(context);
        expect(to - from).toBeLessThanOrEqual(stride);
        expect(to).toBeLessThanOrEqual(length);
      }
    }),
  );
  expect(() => shortWindows(10, 0)).toThrow(/positive/);
});
