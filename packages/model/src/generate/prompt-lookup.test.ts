import { random } from "@infllm/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PromptLookup } from "./prompt-lookup.ts";
import type { Match } from "./prompt-lookup.ts";

const sizes = { longest: 3, shortest: 1 };

function lookup(tokens: readonly number[], of = sizes): PromptLookup {
  const made = new PromptLookup(of);
  for (const token of tokens) made.push(token);
  return made;
}

/** The latest place with the longest agreement, found by looking at every place. */
function searched(tokens: readonly number[], { longest, shortest } = sizes): Match | undefined {
  for (let length = longest; length >= shortest; length--) {
    for (let next = tokens.length - 1; next >= length; next--) {
      const agrees = Array.from({ length }, (_, i) => i + 1).every((back) => tokens[next - back] === tokens[tokens.length - back]);
      if (agrees) return { next, length };
    }
  }
  return undefined;
}

describe("PromptLookup", () => {
  it("finds the latest place where most tokens agree", () => {
    expect(lookup([1, 2, 3, 7, 2, 3, 8, 1, 2, 3]).match()).toEqual({ next: 3, length: 3 });
    expect(lookup([1, 2, 3, 7, 2, 3, 8, 5, 2, 3]).match()).toEqual({ next: 6, length: 2 });
    expect(lookup([1, 2, 3]).match()).toBeUndefined();
    expect(lookup([]).match()).toBeUndefined();
    expect(lookup([1, 2, 3, 1], { longest: 3, shortest: 2 }).match()).toBeUndefined();
  });

  it("finds what a search through all places finds", () => {
    const text = fc.tuple(fc.array(fc.nat(4), { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), fc.nat(2));
    fc.assert(
      fc.property(text, ([tokens, shortest, more]) => {
        const of = { shortest, longest: shortest + more };
        expect(lookup(tokens, of).match()).toEqual(searched(tokens, of));
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it("repeats a draft where the text ends", () => {
    const loop = lookup([5, 1, 2, 1, 2]);
    const match = loop.match();
    expect(match).toEqual({ next: 3, length: 2 });
    expect(loop.follow(match as Match, 5)).toEqual([1, 2, 1, 2, 1]);
  });

  it("does not slow down with the length of the text", () => {
    const source = random(3);
    const long = lookup(Array.from({ length: 200_000 }, () => source.below(1000)));
    let looked = 0;
    const at = long.at.bind(long);
    long.at = (index) => (looked++, at(index));
    long.match();
    long.push(1);
    expect(looked).toBeLessThan(20);
  });
});
