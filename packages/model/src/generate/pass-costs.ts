/** What passes of several rows cost beside plain steps, as measured while they run. */

/** Expected before anything was measured: a device that reads the weights once for all rows. */
const ROW_COST_AT_FIRST = 0.05;
/** Weight of the newest time. */
const NEWEST = 1 / 4;
/** By each plain step, a cost goes back so far to what was expected at first: texts grow, and machines get busy or free. */
const FORGOTTEN = 1 / 512;

export class PassCosts {
  /** Seconds. NaN after the first step, which may have recorded its ops. */
  #step: number | undefined;
  /** By rows: how many plain steps take as long. NaN after the first pass, as above. */
  readonly #passes = new Map<number, number>();

  /** Is there something to compare with? */
  get known(): boolean {
    return this.#step !== undefined && this.#step > 0;
  }

  /** A plain step took so long. */
  step(seconds: number): void {
    this.#step = this.#step === undefined ? NaN : newest(this.#step, seconds);
    for (const [rows, cost] of this.#passes) this.#passes.set(rows, cost + FORGOTTEN * (costAtFirst(rows) - cost));
  }

  /** A pass of so many rows took so long. */
  pass(rows: number, seconds: number): void {
    const cost = this.#passes.get(rows);
    if (cost === undefined || this.#step === undefined || !this.known) this.#passes.set(rows, NaN);
    else this.#passes.set(rows, newest(cost, seconds / this.#step));
  }

  /** How many plain steps take as long as a pass of so many rows. */
  of(rows: number): number {
    const cost = this.#passes.get(rows);
    return cost === undefined || Number.isNaN(cost) ? costAtFirst(rows) : cost;
  }
}

function newest(average: number, value: number): number {
  return Number.isNaN(average) ? value : average + NEWEST * (value - average);
}

function costAtFirst(rows: number): number {
  return 1 + ROW_COST_AT_FIRST * (rows - 1);
}
