import { random } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { Drafter, draftSizes } from "./drafter.ts";
import { PassCosts } from "./pass-costs.ts";

const drafting = { tokens: 7, shortest: 1, longest: 3, adaptive: true } as const;
/** A device on which further rows cost a share of the first. */
const rowsCost = (share: number) => ({ known: true, of: (rows: number) => 1 + share * (rows - 1) });

/** Lengths of the drafts before each token of a text, after a prompt. */
function drafted(prompt: readonly number[], text: readonly number[], share: number): number[] {
  const drafter = new Drafter(drafting, prompt, rowsCost(share));
  return text.map((token) => {
    const { length } = drafter.draft(Infinity);
    drafter.push(token);
    return length;
  });
}

const source = random(9);
const noise = (length: number, kinds: number): number[] => Array.from({ length }, () => source.below(kinds));

describe("Drafter", () => {
  it("drafts far where the text repeats", () => {
    const passage = noise(200, 5000);
    const lengths = drafted(passage, passage, 0.1);
    expect(lengths.slice(20).every((length) => length === 7)).toBe(true);
  });

  it("drafts next to nothing where matches lead nowhere", () => {
    const lengths = drafted(noise(2000, 20), noise(2000, 20), 0.1);
    // Rows in vain, in steps: less than a hundredth of all.
    expect(0.1 * lengths.reduce((sum, length) => sum + length, 0)).toBeLessThan(20);
  });

  it("finds out that a text repeats without having drafted", () => {
    const passage = noise(300, 5000);
    const lengths = drafted([...noise(2000, 20), ...passage], [...noise(500, 20), ...passage], 0.1);
    expect(lengths.slice(-200).every((length) => length === 7)).toBe(true);
  });

  it("drafts nothing where rows cost as much as steps, and before steps were timed", () => {
    const passage = noise(200, 5000);
    expect(Math.max(...drafted(passage, passage, 1))).toBe(0);
    const unknown = new Drafter(drafting, [...passage, ...passage.slice(0, 50)], new PassCosts());
    expect(unknown.draft(7)).toEqual([]);
  });

  it("drafts whatever it finds when told not to adapt, up to what is allowed", () => {
    const drafter = new Drafter({ ...drafting, adaptive: false }, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1], new PassCosts());
    expect(drafter.draft(7)).toEqual([2, 3, 4, 5, 6, 7, 8]);
    expect(drafter.draft(5)).toEqual([2, 3, 4]);
    expect(drafter.draft(0)).toEqual([]);
  });

  it("has few sizes of drafts", () => {
    expect([1, 2, 3, 7, 8, 20].map(draftSizes)).toEqual([[1], [2], [1, 3], [1, 3, 7], [1, 3, 8], [1, 3, 7, 20]]);
  });
});

describe("PassCosts", () => {
  it("knows what passes cost beside steps once both were timed twice", () => {
    const costs = new PassCosts();
    costs.step(9);
    expect(costs.known).toBe(false);
    costs.step(0.01);
    costs.pass(8, 9);
    expect(costs.known).toBe(true);
    costs.pass(8, 0.5);
    expect(costs.of(8)).toBeLessThan(1.5);
    costs.pass(8, 0.04);
    expect(costs.of(8)).toBeCloseTo(4);
    expect(costs.of(4)).toBeLessThan(1.5);
  });

  it("is not misled by a busy machine, nor by steps that ran while nobody asked", () => {
    const costs = new PassCosts();
    for (let i = 0; i < 15; i++) costs.step(i === 7 ? 0.001 : i % 2 === 0 ? 0.01 : 0.05);
    for (const seconds of [9, 0.01, 0.05, 0.03, 0.04, 0.9, 0.03]) costs.pass(8, seconds);
    expect(costs.of(8)).toBeCloseTo(3);
  });

  it("forgets in time that passes did not pay", () => {
    const costs = new PassCosts();
    for (let i = 0; i < 2; i++) costs.step(0.01);
    for (let i = 0; i < 3; i++) costs.pass(8, 0.2);
    expect(costs.of(8)).toBeCloseTo(20);
    for (let i = 0; i < 3000; i++) costs.step(0.01);
    expect(costs.of(8)).toBeLessThan(1.6);
  });
});
