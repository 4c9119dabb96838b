/** One GPU device, and whether it still works. */
import { DeviceLostError, InfllmError, UsageError } from "@infllm/tensor";

const REMEDY = "Everything on it is lost: make a new backend with webgpuBackend() and load the model again.";

export class Context {
  #failure: DeviceLostError | undefined;
  #closed = false;
  /** Rejects what waits for the device. */
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #onError: (event: Event) => void;
  /** Settle before an error counts as final: a failed allocation makes later commands invalid and is no fault of theirs. */
  readonly #excuses = new Set<Promise<unknown>>();
  #excused = false;

  constructor(
    readonly device: GPUDevice,
    readonly adapterName: string,
    /** Was the device made here, and must it be destroyed at the end? */
    private readonly owned: boolean,
  ) {
    void device.lost.then((info) => {
      if (!this.#closed) this.fail(`${this.adapterName} was lost: ${info.message || info.reason || "no reason given"}.`);
    });
    this.#onError = (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      void this.#reported(error.message);
    };
    device.addEventListener("uncapturederror", this.#onError);
  }

  get lost(): boolean {
    return this.#failure !== undefined;
  }

  /** @throws UsageError after close, DeviceLostError */
  use(): void {
    if (this.#closed) throw new UsageError("This webgpu backend was closed. Make a new one with webgpuBackend().");
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** From here on everything is refused, and what waits is rejected. */
  fail(why: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = new DeviceLostError(`${why} ${REMEDY}`);
    for (const reject of this.#waiting) reject(this.#failure);
    this.#waiting.clear();
  }

  /** The result of a promise of the device. @throws DeviceLostError as soon as the device is lost */
  wait<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        work.catch(() => undefined);
        reject(this.#failure);
        return;
      }
      this.#waiting.add(reject);
      work.then(
        (result) => {
          this.#waiting.delete(reject);
          if (this.#failure === undefined) resolve(result);
          else reject(this.#failure);
        },
        (error: unknown) => {
          this.#waiting.delete(reject);
          if (error instanceof InfllmError) reject(error);
          else reject(this.#failure ?? new DeviceLostError(`${this.adapterName} refused to finish: ${String(error)}. ${REMEDY}`));
        },
      );
    });
  }

  /** While `excuse` is open, or once it resolves to true, errors that the device reports are not its end. */
  excuse(excuse: Promise<boolean>): void {
    const settled = excuse.then((excused) => {
      if (excused) this.#excused = true;
      this.#excuses.delete(settled);
    });
    this.#excuses.add(settled);
  }

  /** Errors count again. */
  endExcuse(): void {
    this.#excused = false;
  }

  /** Rejects what waits with an error that is not the device's end. */
  interrupt(error: Error): void {
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.device.removeEventListener("uncapturederror", this.#onError);
    this.interrupt(this.#failure ?? new UsageError("This webgpu backend was closed while something waited for it."));
    if (this.owned) this.device.destroy();
  }

  async #reported(message: string): Promise<void> {
    await Promise.allSettled(this.#excuses);
    if (!this.#closed && !this.#excused) this.fail(`${this.adapterName} reported an error: ${message}`);
  }
}
