/** The two loops that every reference step is made of, and likelihoods, too. */

/** Σ a[aFrom + i] · b[bFrom + i] for i < length, in float64. */
export function dot(a: Float32Array, aFrom: number, b: Float32Array, bFrom: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += (a[aFrom + i] as number) * (b[bFrom + i] as number);
  return sum;
}

/** log Σ exp(values[i]) for i < count (all when absent), without overflow; −Infinity when count is 0. */
export function logSumExp(values: Float32Array | Float64Array, count = values.length): number {
  let largest = -Infinity;
  for (let i = 0; i < count; i++) largest = Math.max(largest, values[i] as number);
  if (largest === -Infinity) return -Infinity;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp((values[i] as number) - largest);
  return largest + Math.log(sum);
}
