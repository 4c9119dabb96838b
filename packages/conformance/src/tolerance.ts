/**
 * How far a backend may be off, derived from what rounding alone does: its error against float64 may be twice that of
 * the same maths done step by step in f32 and stored in the backend's type, plus a floor of two roundings of the
 * largest intermediate. The factor covers other orders of summation; a wrong element exceeds it by far.
 */
import { bf16ToF32, dtypeInfo, f16ToF32, f32ToBf16, f32ToF16 } from "@infllm/tensor";
import type { FloatDType } from "@infllm/tensor";
import { expectClose, largestDifference } from "./compare.ts";

/** How a computation rounds. */
export interface Precision {
  /** After every multiplication, addition and function. */
  step(value: number): number;
  /** When a tensor is stored. */
  store(value: number): number;
}

export const float64: Precision = { step: (value) => value, store: (value) => value };

/** The nearest number of a dtype. */
export function roundTo(dtype: FloatDType, value: number): number {
  if (dtype === "f32") return Math.fround(value);
  return dtype === "f16" ? f16ToF32(f32ToF16(value)) : bf16ToF32(f32ToBf16(value));
}

/** A copy as f32, each number the nearest of a dtype. */
export function allRoundedTo(dtype: FloatDType, values: ArrayLike<number>): Float32Array {
  const copy = new Float32Array(values);
  return dtype === "f32" ? copy : copy.map((value) => roundTo(dtype, value));
}

/** f32 arithmetic, results stored as `dtype`. */
export function storedAs(dtype: FloatDType): Precision {
  return { step: Math.fround, store: (value) => roundTo(dtype, value) };
}

/** What an op should give, and the size of what it adds up. */
export interface Result {
  readonly values: Float64Array;
  /** Largest sum of absolute terms, or intermediate, behind any value. */
  readonly magnitude: number;
}

/** What a result should be, and how far each of its numbers may be off. */
export interface Accuracy {
  readonly values: Float64Array;
  readonly allowed: number;
}

/** Runs the op's maths in float64 and as stored in `dtype`. */
export function accuracyOf(dtype: FloatDType, maths: (precision: Precision) => Result): Accuracy {
  const exact = maths(float64);
  const rounding = largestDifference(maths(storedAs(dtype)).values, exact.values).difference;
  return { values: exact.values, allowed: 2 * rounding + 2 * dtypeInfo(dtype).epsilon * exact.magnitude };
}

/** Holds a backend's result, stored as `dtype`, against the op's maths. @throws Error naming the worst element */
export function expectAccurate(what: string, actual: ArrayLike<number>, dtype: FloatDType, maths: (precision: Precision) => Result): void {
  const { values, allowed } = accuracyOf(dtype, maths);
  expectClose(what, actual, values, allowed);
}

/**
 * Relative error of a block score from f32 arithmetic. A score is exp(a − b) with |a|, |b| ≤ `logit`, the largest
 * Σ|q·k| · scale: each is off by a few roundings of that size, which the exponential turns into a relative error.
 */
export function scoreTolerance(logit: number): number {
  return 8 * dtypeInfo("f32").epsilon * (1 + logit);
}
