/** Comparisons whose failures say where and by how much. */
import { blockBudget, isForced } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";

/** A value that cannot be absent. @throws Error when it is */
export function mustBe<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("A value that the conformance suite relies on is missing.");
  return value;
}

type Numbers = ArrayLike<number>;

/** Of f32; a device may flush smaller scores to zero. */
const SMALLEST_NORMAL = 2 ** -126;

/** From here on a device may give any score, infinity included: f32 and fast exponentials end soon after. */
const SATURATED = 2 ** 120;

/** Largest |a − b|; Infinity when one is NaN, or infinite without the other being the same. */
export function largestDifference(a: Numbers, b: Numbers): { readonly difference: number; readonly at: number } {
  let worst = { difference: 0, at: 0 };
  for (let i = 0; i < b.length; i++) {
    const difference = Object.is(a[i], b[i]) || a[i] === b[i] ? 0 : Math.abs(mustBe(a[i]) - mustBe(b[i]));
    if (!(difference <= worst.difference)) worst = { difference: Number.isNaN(difference) ? Infinity : difference, at: i };
  }
  return worst;
}

/** @throws Error naming the worst element unless every |actual − expected| ≤ allowed */
export function expectClose(what: string, actual: Numbers, expected: Numbers, allowed: number): void {
  expectLength(what, actual, expected);
  const { difference, at } = largestDifference(actual, expected);
  if (difference <= allowed) return;
  throw new Error(
    `${what}: element ${at} of ${expected.length} is ${actual[at]}, expected ${expected[at]}; ` +
      `off by ${difference.toExponential(2)}, allowed ${allowed.toExponential(2)}.`,
  );
}

/** @throws Error unless both hold the same numbers, NaN equal to NaN */
export function expectSame(what: string, actual: Numbers, expected: Numbers): void {
  expectLength(what, actual, expected);
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i]) || actual[i] === expected[i]) continue;
    throw new Error(`${what}: element ${i} of ${expected.length} is ${actual[i]}, expected exactly ${expected[i]}.`);
  }
}

/** @throws Error unless each row's error, as a vector, is at most `relative` of the row's length */
export function expectRowsClose(what: string, actual: Numbers, expected: Numbers, width: number, relative: number): void {
  expectLength(what, actual, expected);
  for (let from = 0; from < expected.length; from += width) {
    let error = 0;
    let size = 0;
    for (let i = from; i < from + width; i++) {
      error += (mustBe(actual[i]) - mustBe(expected[i])) ** 2;
      size += mustBe(expected[i]) ** 2;
    }
    const ratio = Math.sqrt(error / Math.max(size, Number.MIN_VALUE));
    if (!(ratio <= relative)) {
      throw new Error(`${what}: row ${from / width} is off by ${ratio.toExponential(2)} of its length, allowed ${relative.toExponential(2)}.`);
    }
  }
}

/** Block scores: −Infinity in the same places, saturated scores too, and every other within `relative` of itself. */
export function expectScores(what: string, actual: Numbers, expected: Numbers, relative: number): void {
  expectLength(what, actual, expected);
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [mustBe(actual[i]), mustBe(expected[i])];
    if (a === b || (a >= SATURATED && b >= SATURATED) || (Number.isFinite(b) && Math.abs(a - b) <= relative * Math.abs(b) + SMALLEST_NORMAL)) continue;
    throw new Error(`${what}: block score ${i} of ${expected.length} is ${a}, expected ${b} (relative tolerance ${relative.toExponential(2)}).`);
  }
}

/** One row's selection and what it is held against. */
export interface SelectionCheck {
  /** Ascending, −1 padded */
  readonly actual: Int32Array;
  readonly expected: Int32Array;
  /** Pooled scores of the row, `[blocks]` */
  readonly scores: Numbers;
  readonly position: number;
  readonly config: SparseConfig;
  /** How far apart, relatively, two scores may be for their blocks to be exchanged; "strict" allows no exchange. */
  readonly tolerance: number | "strict";
}

/**
 * The well-formed part must hold always: ascending, no block after the row's own, forced blocks in, as many as fit.
 * Another block than expected may only be one whose score equals that of the block it replaces, to the tolerance.
 */
export function expectSelection(what: string, check: SelectionCheck): void {
  const { actual, expected, scores, position, config, tolerance } = check;
  const fail = (why: string): never => {
    throw new Error(`${what}: ${why}.\n  selected ${list(actual)}\n  expected ${list(expected)}`);
  };
  const queryBlock = Math.floor(position / config.blockSize);
  const chosen = Array.from(actual).filter((block) => block >= 0);
  if (actual.length !== blockBudget(config)) fail(`${actual.length} entries, the budget is ${blockBudget(config)}`);
  if (chosen.some((block, i) => block !== actual[i])) fail("the −1 padding is not at the end");
  if (chosen.some((block, i) => i > 0 && block <= mustBe(chosen[i - 1]))) fail("not ascending");
  if (chosen.some((block) => block > queryBlock)) fail(`a block after the row's own (${queryBlock}) is selected`);
  if (chosen.length !== Math.min(blockBudget(config), queryBlock + 1)) fail(`${chosen.length} blocks are selected`);

  const wanted = new Set(Array.from(expected).filter((block) => block >= 0));
  const extra = chosen.filter((block) => !wanted.has(block));
  const missing = [...wanted].filter((block) => !chosen.includes(block));
  if (missing.some((block) => isForced(block, queryBlock, config))) fail("a forced block is missing");
  const score = (block: number): number => Math.min(mustBe(scores[block]), SATURATED);
  const lowestTaken = Math.min(...extra.map(score));
  const highestLeft = Math.max(...missing.map(score));
  // Scores of exactly 0 (invisible windows) are 0 on every device, so the lower id must win there, too.
  const mayDiffer = tolerance !== "strict" && !(highestLeft === 0 && lowestTaken === 0);
  const apart = highestLeft === lowestTaken ? 0 : highestLeft - lowestTaken;
  if (extra.length > 0 && !(mayDiffer && apart <= tolerance * Math.abs(highestLeft) + SMALLEST_NORMAL)) {
    fail(`blocks ${extra.join(" ")} took the place of ${missing.join(" ")}, scores ${lowestTaken} and ${highestLeft}`);
  }
}

function list(blocks: Int32Array): string {
  return Array.from(blocks).filter((block) => block >= 0).join(" ");
}

function expectLength(what: string, actual: Numbers, expected: Numbers): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} numbers, expected ${expected.length}.`);
}
