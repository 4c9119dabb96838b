/**
 * How much work goes into one submit. Long ones freeze a page that draws with the same GPU, and after about two seconds
 * drivers reset it; short ones leave it idle in between. The GPU's speed is learnt from the submits so far.
 */
const TARGET_MILLISECONDS = 50;
/** Where nothing is known: 50 ms at 200 Gop/s, a phone's GPU. */
const FIRST = 1e10;
const LEAST = 2e8;
const MOST = 5e12;
/** Shorter measurements say more about waiting than about the GPU. */
const SHORTEST_MILLISECONDS = 5;

export class SubmitBudget {
  #operations = FIRST;
  #busyUntil = 0;

  /** Most operations of a submit; a single launch may exceed it. */
  get operations(): number {
    return this.#operations;
  }

  /** Notes a submit, and when it is done learns from it. */
  submitted(cost: number, queue: GPUQueue): void {
    // Small ones end too soon to learn from, and asking costs as much as they do.
    if (cost < this.#operations / 4) return;
    const from = performance.now();
    queue.onSubmittedWorkDone().then(
      () => this.#learn(cost, from),
      () => undefined,
    );
  }

  #learn(cost: number, from: number): void {
    const now = performance.now();
    const milliseconds = now - Math.max(from, this.#busyUntil);
    this.#busyUntil = now;
    if (milliseconds < SHORTEST_MILLISECONDS) {
      this.#operations = Math.min(MOST, this.#operations * 2);
      return;
    }
    const wanted = (cost / milliseconds) * TARGET_MILLISECONDS;
    const next = Math.min(2 * this.#operations, Math.max(this.#operations / 2, wanted));
    this.#operations = Math.min(MOST, Math.max(LEAST, next));
  }
}
