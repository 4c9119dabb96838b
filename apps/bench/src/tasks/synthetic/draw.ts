import { random } from "@infllm/tensor";
import type { Random } from "@infllm/tensor";

/** A generator for one purpose: equal parts give equal numbers, and any other part gives unrelated ones. */
export function randomFor(...parts: readonly (string | number)[]): Random {
  // FNV-1a over the UTF-16 units.
  let hash = 0x811c9dc5;
  for (const unit of parts.join("\u0000")) hash = Math.imul(hash ^ (unit.codePointAt(0) ?? 0), 0x01000193);
  return random(hash >>> 0);
}

/** One of `items`, which must not be empty. */
export function pick<T>(from: Random, items: readonly T[]): T {
  const item = items[from.below(items.length)];
  if (item === undefined) throw new RangeError("Cannot pick from nothing.");
  return item;
}

/** `items` in random order (Fisher–Yates). */
export function shuffled<T>(from: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let last = out.length - 1; last > 0; last--) {
    const other = from.below(last + 1);
    [out[last], out[other]] = [out[other] as T, out[last] as T];
  }
  return out;
}

/** `count` different integers of `[0, bound)` in random order, without building the range (Floyd's algorithm). */
export function distinctBelow(from: Random, bound: number, count: number): number[] {
  if (count > bound) throw new RangeError(`There are no ${count} different integers below ${bound}.`);
  const chosen = new Set<number>();
  for (let top = bound - count; top < bound; top++) {
    const candidate = from.below(top + 1);
    chosen.add(chosen.has(candidate) ? top : candidate);
  }
  return shuffled(from, [...chosen]);
}

/** `count` different items in random order. */
export function sample<T>(from: Random, items: readonly T[], count: number): T[] {
  return distinctBelow(from, items.length, count).map((index) => items[index] as T);
}

/** `count` different values of `make`, which must have that many. */
export function distinct<T>(count: number, make: () => T): T[] {
  const values = new Set<T>();
  while (values.size < count) values.add(make());
  return [...values];
}
