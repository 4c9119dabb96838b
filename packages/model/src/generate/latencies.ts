/** Numbers below which 50, 90 and 99 % of the values lie. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Times from one token to the next. */
export class Latencies {
  readonly #seconds: number[] = [];

  add(seconds: number): void {
    this.#seconds.push(seconds);
  }

  get count(): number {
    return this.#seconds.length;
  }

  get sum(): number {
    return this.#seconds.reduce((sum, seconds) => sum + seconds, 0);
  }

  /** By nearest rank: values that occurred. NaN where there are none. */
  percentiles(): Percentiles {
    const sorted = Float64Array.from(this.#seconds).sort();
    const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
  }
}
