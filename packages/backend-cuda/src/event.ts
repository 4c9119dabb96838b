/** A point in a stream's work: whether it was reached, and the time between two of them. */
import type { Context } from "./context.ts";
import { NOT_READY } from "./driver.ts";

/** Host-side waits poll without a pause this long, which a decode step takes at most, and then every millisecond. */
const SPIN_MILLISECONDS = 20;

export class Event {
  readonly #handle: number;

  constructor(private readonly context: Context) {
    const out = new BigUint64Array(1);
    context.check(context.driver.api.cuEventCreate(out, 0), "making an event");
    this.#handle = Number(out[0]);
  }

  record(stream: number): void {
    this.context.check(this.context.driver.api.cuEventRecord(this.#handle, stream), "recording an event");
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

  /** Milliseconds from an earlier event; both must have been reached. */
  since(earlier: Event): number {
    const out = new Float32Array(1);
    this.context.check(this.context.driver.api.cuEventElapsedTime(out, earlier.#handle, this.#handle), "timing two events");
    return out[0] as number;
  }

  release(): void {
    this.context.driver.api.cuEventDestroy_v2(this.#handle);
  }
}
