/** GPU buffers: every one is counted, kept within a limit, and destroyed at the latest when the pool closes. */
import { ConfigError, OutOfMemoryError, formatBytes } from "@infllm/tensor";
import type { MemoryUse } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { bufferUsage } from "./gpu-constants.ts";

export interface Allocation {
  readonly buffer: GPUBuffer;
  /** Distinguishes buffers; never reused. */
  readonly id: number;
  readonly bytes: number;
  /** Destroys the buffer; safe to call twice. Commands that use it and are not submitted yet are submitted first. */
  free(): void;
}

const STORAGE = bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget;
/** Kernels read four numbers at a time: the last row of a tensor must not end the buffer before they do. */
const GRANULE = 16;

export class BufferPool {
  readonly #live = new Map<number, Allocation>();
  /** Buffers that the device refused, until they are freed. */
  readonly #refused = new Map<number, OutOfMemoryError>();
  readonly #checks = new Set<Promise<unknown>>();
  #used = 0;
  #next = 1;
  /** Submits what is enqueued, and forgets what refers to a buffer. */
  beforeFree: (id: number) => void = () => undefined;

  constructor(
    private readonly context: Context,
    private readonly limit: number | undefined,
  ) {
    if (limit !== undefined && !(limit > 0)) throw new ConfigError(`memoryLimit is ${limit}; it must be a positive number of bytes.`);
  }

  /** Buffers that were not given back. */
  get count(): number {
    return this.#live.size;
  }

  holds({ id }: Allocation): boolean {
    return this.#live.has(id);
  }

  use(): MemoryUse {
    return { used: this.#used, available: this.#available() };
  }

  /** Uninitialised memory. `what` begins a sentence. @throws OutOfMemoryError when it cannot fit; see `check` for the rest */
  allocate(what: string, bytes: number, usage: number = STORAGE): Allocation {
    const { device } = this.context;
    const needed = Math.max(1, Math.ceil(bytes / GRANULE)) * GRANULE;
    if (needed > this.#available()) {
      throw new OutOfMemoryError(what, needed, this.#available(), "Raise memoryLimit, or release something first.");
    }
    if (needed > device.limits.maxBufferSize) {
      throw new OutOfMemoryError(
        what, needed, device.limits.maxBufferSize,
        `${this.context.adapterName} makes no larger buffer. Use a smaller context, fewer rows or smaller weights.`,
      );
    }
    const id = this.#next++;
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ label: what, size: needed, usage });
    const check = device.popErrorScope().then(
      (error) => error !== null && this.#refuse(id, what, needed),
      () => false,
    );
    this.#checks.add(check);
    this.context.excuse(check);
    void check.then(() => this.#checks.delete(check));
    const allocation: Allocation = { buffer, id, bytes: needed, free: () => this.#free(id) };
    this.#live.set(id, allocation);
    this.#used += needed;
    return allocation;
  }

  /** @throws OutOfMemoryError while a buffer that the device refused is held */
  check(): void {
    for (const error of this.#refused.values()) throw error;
  }

  /** The same once the device has answered for every allocation so far. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#checks);
    this.check();
  }

  close(): void {
    for (const { free } of this.#live.values()) free();
  }

  #refuse(id: number, what: string, needed: number): boolean {
    if (!this.#live.has(id)) return true;
    const others = this.#used - needed;
    const error = new OutOfMemoryError(
      what, needed, 0,
      `${this.context.adapterName} refused it beside the ${formatBytes(others)} that this backend holds. ` +
        "Use a smaller context, a smaller model or smaller weights, or close other programs that use the GPU.",
    );
    this.#refused.set(id, error);
    this.context.interrupt(error);
    return true;
  }

  #free(id: number): void {
    const allocation = this.#live.get(id);
    if (allocation === undefined) return;
    this.beforeFree(id);
    this.#live.delete(id);
    this.#used -= allocation.bytes;
    if (this.#refused.delete(id) && this.#refused.size === 0) this.#endExcuse();
    allocation.buffer.destroy();
  }

  /** Errors of commands that used a refused buffer are reported before the queue is done with them. */
  #endExcuse(): void {
    void this.context.device.queue.onSubmittedWorkDone().then(
      () => this.#refused.size === 0 && this.context.endExcuse(),
      () => undefined,
    );
  }

  #available(): number {
    return this.limit === undefined ? Infinity : this.limit - this.#used;
  }
}
