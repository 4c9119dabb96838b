/** Device memory: every allocation is counted, kept within a limit, and given back at the latest when the pool closes. */
import { ConfigError, DeviceLostError, OutOfMemoryError, formatBytes } from "@infllm/tensor";
import type { MemoryUse } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { OUT_OF_MEMORY } from "./driver.ts";

export interface Allocation {
  readonly address: number;
  readonly bytes: number;
  /** Returns the memory; safe to call twice. Waits for the ops that still use it. */
  free(): void;
}

const GRANULE = 256;

export class MemoryPool {
  readonly #live = new Map<number, number>();
  #used = 0;

  constructor(
    private readonly context: Context,
    private readonly limit: number | undefined,
  ) {
    if (limit !== undefined && !(limit > 0)) throw new ConfigError(`memoryLimit is ${limit}; it must be a positive number of bytes.`);
  }

  /** Allocations that were not given back. */
  get allocations(): number {
    return this.#live.size;
  }

  use(): MemoryUse {
    return { used: this.#used, available: this.#available() };
  }

  /** Uninitialised memory, aligned to 256 bytes. `what` begins a sentence. @throws OutOfMemoryError */
  allocate(what: string, bytes: number): Allocation {
    const { context } = this;
    const needed = Math.max(1, Math.ceil(bytes / GRANULE)) * GRANULE;
    if (this.limit !== undefined && this.#used + needed > this.limit) {
      throw new OutOfMemoryError(what, needed, this.limit - this.#used, "Raise memoryLimit, or release something first.");
    }
    const out = new BigUint64Array(1);
    const status = context.driver.api.cuMemAlloc_v2(out, needed);
    if (status === OUT_OF_MEMORY) {
      throw new OutOfMemoryError(
        what, needed, this.#available(),
        `${context.device.name} has ${formatBytes(context.device.memoryBytes)}, of which this backend holds ${formatBytes(this.#used)}. ` +
          "Use a smaller context, a smaller model or smaller weights.",
      );
    }
    context.check(status, `allocating ${formatBytes(needed)} (${what})`);
    const address = Number(out[0]);
    this.#live.set(address, needed);
    this.#used += needed;
    return { address, bytes: needed, free: () => this.#free(address) };
  }

  close(): void {
    for (const address of this.#live.keys()) this.#free(address);
  }

  #free(address: number): void {
    const bytes = this.#live.get(address);
    if (bytes === undefined) return;
    this.#live.delete(address);
    this.#used -= bytes;
    // On a lost device the memory went with the context, and the error was reported by the call that noticed.
    if (this.context.lost) return;
    try {
      this.context.check(this.context.driver.api.cuMemFree_v2(address), `freeing ${formatBytes(bytes)}`);
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
    }
  }

  #available(): number {
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    this.context.check(this.context.driver.api.cuMemGetInfo_v2(free, total), "asking for free memory");
    return Math.min(Number(free[0]), this.limit === undefined ? Infinity : this.limit - this.#used);
  }
}
