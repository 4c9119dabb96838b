import { Complex } from "complex.js";
import { parseExpression } from "./expression.ts";
import type { Variables } from "./expression.ts";
import { randomFor } from "../synthetic/draw.ts";

/** Far above rounding in doubles, far below any difference that an answer writes out. */
const tolerance = 1e-11;
const points = 5;

/** Whether two formulas have the same value, for every value of their variables: tried at five seeded points. */
export function sameValue(left: string, right: string): boolean {
  return compare(left, right, (a, b) => a.sub(b).abs() <= tolerance * Math.max(1, a.abs(), b.abs()));
}

/** Whether `left = right` of two equations say the same: their differences are multiples of each other. */
export function sameEquation(first: readonly [string, string], second: readonly [string, string]): boolean {
  const difference = ([left, right]: readonly [string, string]): string => `(${left})-(${right})`;
  let ratio: Complex | undefined;
  return compare(difference(first), difference(second), (a, b) => {
    if (a.abs() < tolerance || b.abs() < tolerance) return false;
    ratio ??= a.div(b);
    return a.sub(b.mul(ratio)).abs() <= tolerance * Math.max(1, a.abs());
  });
}

function compare(left: string, right: string, equal: (a: Complex, b: Complex) => boolean): boolean {
  const [a, b] = [parseExpression(left), parseExpression(right)];
  if (a === undefined || b === undefined) return false;
  const names = [...new Set([...a.variables, ...b.variables])].sort();
  for (let point = 0; point < (names.length === 0 ? 1 : points); point++) {
    const variables = valuesOf(names, point);
    const [x, y] = [a.value(variables), b.value(variables)];
    // NaN and infinity compare with nothing: answers that overflow are equal only where they read alike.
    if (!x.isFinite() || !y.isFinite() || x.isNaN() || y.isNaN() || !equal(x, y)) return false;
  }
  return true;
}

/** Values between -2.5 and 2.5, the same for a name at a point wherever it occurs. */
function valuesOf(names: readonly string[], point: number): Variables {
  return new Map(names.map((name) => [name, new Complex(randomFor("variable", name, point).uniform() * 5 - 2.5)]));
}
