/** Nothing is timed before it is right. */

/** @throws Error unless every |actual − expected| ≤ relative · the largest |expected| */
export function mustAgree(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number): void {
  let [worst, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  if (actual.length === expected.length && worst <= relative * largest) return;
  throw new Error(
    `${what} is wrong: off by ${worst.toExponential(1)} where ${(relative * largest).toExponential(1)} is allowed; not timed.`,
  );
}
