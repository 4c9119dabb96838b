/** Host memory that the GPU reads and writes by itself. What was allocated is given back at the latest when the pool closes. */
import { OutOfMemoryError, formatBytes } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { OUT_OF_MEMORY } from "./driver.ts";

export interface Pinned {
  readonly address: number;
  /** The memory itself: not to be touched after `free`, and handed out only where others are told so. */
  readonly bytes: Uint8Array;
  free(): void;
}

export class PinnedMemory {
  readonly #live = new Set<number>();
  #used = 0;

  constructor(private readonly context: Context) {}

  /** Bytes that were not given back. */
  get used(): number {
    return this.#used;
  }

  /** @throws OutOfMemoryError */
  allocate(bytes: number): Pinned {
    const { api, memory } = this.context.driver;
    const out = new BigUint64Array(1);
    const status = api.cuMemAllocHost_v2(out, bytes);
    if (status === OUT_OF_MEMORY) {
      throw new OutOfMemoryError(
        "Host memory for copies from and to the GPU", bytes, 0,
        "The system grants no more locked memory: raise its limit (ulimit -l), or free memory.",
      );
    }
    this.context.check(status, `allocating ${formatBytes(bytes)} of host memory for copies`);
    const address = Number(out[0]);
    this.#live.add(address);
    this.#used += bytes;
    return { address, bytes: new Uint8Array(memory.view(address, bytes)), free: () => this.#free(address, bytes) };
  }

  close(): void {
    for (const address of this.#live) this.context.driver.api.cuMemFreeHost(address);
    this.#live.clear();
    this.#used = 0;
  }

  #free(address: number, bytes: number): void {
    if (!this.#live.delete(address)) return;
    this.#used -= bytes;
    this.context.driver.api.cuMemFreeHost(address);
  }
}
