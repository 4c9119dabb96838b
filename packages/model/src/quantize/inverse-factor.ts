/** Part of the mean of the diagonal that is added to it (GPTQ's percdamp). */
export const DAMPING = 0.01;

/** Columns and rows handled together: 32 rows of 4,096 numbers are a megabyte. */
const BLOCK = 32;

/**
 * The upper triangular U `[n, n]` with UᵀU = (H + damping)⁻¹, H `[n, n]` positive semi-definite: what GPTQ steps through,
 * row by row (arXiv 2210.17323, section 3.3, "Cholesky reformulation"). Columns that were never in use (a zero on the
 * diagonal) stand alone. H is overwritten.
 *
 * With H = R·Rᵀ, R upper triangular, U is R⁻¹: no inverse of H is formed. n³/3 multiplications in float64.
 */
export function inverseFactor(h: Float64Array, n: number): Float64Array {
  damp(h, n);
  upperFactor(h, n);
  return inverse(h, n);
}

function damp(h: Float64Array, n: number): void {
  let mean = 0;
  for (let i = 0; i < n; i++) mean += (h[i * n + i] as number) / n;
  for (let i = 0; i < n; i++) {
    const own = h[i * n + i] as number;
    // Without an input to learn from, any positive number will do: the column has no covariance with others.
    h[i * n + i] = own === 0 ? mean || 1 : own + DAMPING * mean;
  }
}

/**
 * R with R·Rᵀ = H in the upper triangle of `h`, from the last columns on; what is below the diagonal is left as it is.
 * Columns go in blocks, so that a row that is read serves a whole block.
 */
function upperFactor(h: Float64Array, n: number): void {
  for (let end = n; end > 0; end -= BLOCK) {
    const start = Math.max(0, end - BLOCK);
    for (let i = 0; i < end; i++) {
      for (let j = Math.max(i, start); j < end; j++) h[i * n + j] = (h[i * n + j] as number) - dot(h, i * n, j * n, end, n);
    }
    for (let j = end - 1; j >= start; j--) {
      const square = (h[j * n + j] as number) - dot(h, j * n, j * n, j + 1, end);
      const diagonal = Math.sqrt(square);
      if (!(diagonal > 0)) throw new RangeError(`The products of calibration inputs are not positive definite (column ${j}: ${square}).`);
      h[j * n + j] = diagonal;
      for (let i = 0; i < j; i++) h[i * n + j] = ((h[i * n + j] as number) - dot(h, i * n, j * n, j + 1, end)) / diagonal;
    }
  }
}

/** Σ h[a + k] · h[b + k] over k of `[from, to)`, in four sums that need not wait for each other. */
function dot(h: Float64Array, a: number, b: number, from: number, to: number): number {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let k = from;
  for (; k + 3 < to; k += 4) {
    first += (h[a + k] as number) * (h[b + k] as number);
    second += (h[a + k + 1] as number) * (h[b + k + 1] as number);
    third += (h[a + k + 2] as number) * (h[b + k + 2] as number);
    fourth += (h[a + k + 3] as number) * (h[b + k + 3] as number);
  }
  for (; k < to; k++) first += (h[a + k] as number) * (h[b + k] as number);
  return first + second + (third + fourth);
}

/** R⁻¹, zeros below the diagonal: row i is (eᵢ − Σ R[i, k] · row k) / R[i, i] over the rows k below it, in blocks of rows. */
function inverse(r: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let end = n; end > 0; end -= BLOCK) {
    const start = Math.max(0, end - BLOCK);
    for (let k = end; k < n; k++) {
      for (let i = start; i < end; i++) subtractRow(u, i * n, k * n, r[i * n + k] as number, k, n);
    }
    for (let i = end - 1; i >= start; i--) {
      for (let k = i + 1; k < end; k++) subtractRow(u, i * n, k * n, r[i * n + k] as number, k, n);
      u[i * n + i] = 1;
      const diagonal = r[i * n + i] as number;
      for (let j = i; j < n; j++) u[i * n + j] = (u[i * n + j] as number) / diagonal;
    }
  }
  return u;
}

/** The row at `to` less `factor` times that at `from`, whose first number is that of column `column`. */
function subtractRow(u: Float64Array, to: number, from: number, factor: number, column: number, n: number): void {
  for (let j = column; j < n; j++) u[to + j] = (u[to + j] as number) - factor * (u[from + j] as number);
}
