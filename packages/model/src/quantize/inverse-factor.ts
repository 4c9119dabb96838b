/** Part of the mean of the diagonal that is added to it (GPTQ's percdamp). */
export const DAMPING = 0.01;

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

/** R with R·Rᵀ = H in the upper triangle of `h`, from the last column on; what is below the diagonal is left as it is. */
function upperFactor(h: Float64Array, n: number): void {
  for (let j = n - 1; j >= 0; j--) {
    const row = j * n;
    let square = h[row + j] as number;
    for (let k = j + 1; k < n; k++) square -= (h[row + k] as number) ** 2;
    const diagonal = Math.sqrt(square);
    if (!(diagonal > 0)) throw new RangeError(`The products of calibration inputs are not positive definite (column ${j}: ${square}).`);
    h[row + j] = diagonal;
    for (let i = 0; i < j; i++) {
      let sum = h[i * n + j] as number;
      for (let k = j + 1; k < n; k++) sum -= (h[i * n + k] as number) * (h[row + k] as number);
      h[i * n + j] = sum / diagonal;
    }
  }
}

/** R⁻¹, zeros below the diagonal: row i is (eᵢ − Σ R[i, k] · row k) / R[i, i] over the rows k below it. */
function inverse(r: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    const row = i * n;
    const diagonal = r[row + i] as number;
    for (let k = i + 1; k < n; k++) {
      const factor = r[row + k] as number;
      for (let j = k; j < n; j++) u[row + j] = (u[row + j] as number) - factor * (u[k * n + j] as number);
    }
    u[row + i] = 1;
    for (let j = i; j < n; j++) u[row + j] = (u[row + j] as number) / diagonal;
  }
  return u;
}
