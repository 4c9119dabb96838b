/** What passes of several rows cost beside plain steps, as measured while they run. */

/** Expected before anything was measured: a device that reads the weights once for all rows. */
const ROW_COST_AT_FIRST = 0.05;
/** Times that are remembered; their median counts, since machines are busy now and then, and tokens wait for whoever reads. */
const RECENT_STEPS = 15;
const RECENT_PASSES = 5;
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
    return this.#steps.median > 0;
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
    const cost = recent.median / this.#steps.median;
    if (cost > 0) this.#costs.set(rows, cost);
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

  /** NaN where there are none. */
  get median(): number {
    return [...this.#seconds].sort((a, b) => a - b)[this.#seconds.length >> 1] ?? NaN;
  }
}

function costAtFirst(rows: number): number {
  return 1 + ROW_COST_AT_FIRST * (rows - 1);
}
