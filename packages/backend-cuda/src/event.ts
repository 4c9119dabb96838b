/** A point in a stream's work: whether it was reached, and the time between two of them. */
import type { Context } from "./context.ts";
import { EVENT_FROM_GRAPH, EVENT_WITHOUT_TIME, NOT_READY } from "./driver.ts";

/** Host-side waits poll without a pause this long, which a decode step takes at most, and then every millisecond. */
const SPIN_MILLISECONDS = 20;

export class Event {
  readonly #handle: number;

  /** @param timed whether `since` may be asked */
  constructor(
    private readonly context: Context,
    timed = false,
  ) {
    const out = new BigUint64Array(1);
    context.check(context.driver.api.cuEventCreate(out, timed ? 0 : EVENT_WITHOUT_TIME), "making an event");
    this.#handle = Number(out[0]);
  }

  record(stream: number): void {
    this.context.check(this.context.driver.api.cuEventRecord(this.#handle, stream), "recording an event");
  }

  /** Records it in a graph that is being captured; every run of the graph reaches it anew. */
  recordInGraph(stream: number): void {
    const status = this.context.driver.api.cuEventRecordWithFlags(this.#handle, stream, EVENT_FROM_GRAPH);
    this.context.check(status, "recording an event in a graph");
  }

  /** @throws DeviceLostError when an op before it failed */
  get reached(): boolean {
    const status = this.context.driver.api.cuEventQuery(this.#handle);
    if (status === NOT_READY) return false;
    this.context.check(status, "waiting for the ops before an event");
    return true;
  }

  /** Resolves when the event is reached, leaving the event loop free meanwhile. */
  async wait(): Promise<void> {
    const start = performance.now();
    while (!this.reached) {
      const spin = performance.now() - start < SPIN_MILLISECONDS;
      await new Promise<void>((resolve) => (spin ? setImmediate(resolve) : setTimeout(resolve, 1)));
      this.context.use();
    }
  }

  /** Blocks until the event is reached. */
  block(): void {
    this.context.check(this.context.driver.api.cuEventSynchronize(this.#handle), "waiting for a copy to the GPU");
  }

  /** Milliseconds from an earlier event; both must be timed, and must have been reached. */
  since(earlier: Event): number {
    const out = new Float32Array(1);
    this.context.check(this.context.driver.api.cuEventElapsedTime(out, earlier.#handle, this.#handle), "timing two events");
    return out[0] as number;
  }

  release(): void {
    this.context.driver.api.cuEventDestroy_v2(this.#handle);
  }
}
