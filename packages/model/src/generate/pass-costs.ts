/** What passes of several rows cost beside plain steps, as measured while they run. */

/** Expected before anything was measured: a device that reads the weights once for all rows. */
const ROW_COST_AT_FIRST = 0.05;
/** Times that are remembered. */
const RECENT_STEPS = 15;
const RECENT_PASSES = 5;
/** One pass in a busy moment must not end all drafting. */
const LEAST_PASSES = 2;
/** By each plain step, a cost goes back so far to what was expected at first: texts grow, and machines get busy or free. */
const FORGOTTEN = 1 / 256;

export class PassCosts {
  readonly #steps = new Recent(RECENT_STEPS);
  /** By rows. */
  readonly #passes = new Map<number, Recent>();
  /** By rows: how many plain steps take as long. */
  readonly #costs = new Map<number, number>();

  /** Is there something to compare with? */
  get known(): boolean {
    return this.#steps.undisturbed > 0;
  }

  /** A plain step took so long. */
  step(seconds: number): void {
    this.#steps.add(seconds);
    for (const [rows, cost] of this.#costs) this.#costs.set(rows, cost + FORGOTTEN * (costAtFirst(rows) - cost));
  }

  /** A pass of so many rows took so long. */
  pass(rows: number, seconds: number): void {
    const recent = this.#passes.get(rows) ?? new Recent(RECENT_PASSES);
    this.#passes.set(rows, recent);
    recent.add(seconds);
    const cost = recent.undisturbed / this.#steps.undisturbed;
    if (cost > 0 && recent.count >= LEAST_PASSES) this.#costs.set(rows, cost);
  }

  /** How many plain steps take as long as a pass of so many rows. */
  of(rows: number): number {
    return this.#costs.get(rows) ?? costAtFirst(rows);
  }
}

/** The last times of something, its first one left out: that may have recorded ops and loaded kernels. */
class Recent {
  readonly #seconds: number[] = [];
  #begun = false;

  constructor(private readonly most: number) {}

  add(seconds: number): void {
    if (this.#begun) this.#seconds.push(seconds);
    if (this.#seconds.length > this.most) this.#seconds.shift();
    this.#begun = true;
  }

  get count(): number {
    return this.#seconds.length;
  }

  /**
   * What it takes on a machine that does nothing else: the fastest of five, but not one or two of many, which were fast because
   * whoever reads the tokens was slow. NaN where there are none.
   */
  get undisturbed(): number {
    return [...this.#seconds].sort((a, b) => a - b)[Math.floor(this.count / 6)] ?? NaN;
  }
}

function costAtFirst(rows: number): number {
  return 1 + ROW_COST_AT_FIRST * (rows - 1);
}
