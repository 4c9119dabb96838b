/** The one queue of a backend: copies, launches and captures are done in the order of the calls. */
import { formatBytes } from "@infllm/tensor";
import type { UploadMemory } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { Downloads, copy2D } from "./downloads.ts";
import type { Pitched } from "./downloads.ts";
import { CAPTURE_RELAXED, STREAM_NON_BLOCKING, memoryType } from "./driver.ts";
import { Event } from "./event.ts";
import { Graph } from "./graph.ts";
import { PinnedMemory } from "./pinned-memory.ts";
import { Uploads } from "./uploads.ts";

export class Stream {
  readonly handle: number;
  readonly #pinned: PinnedMemory;
  readonly #uploads: Uploads;
  readonly #downloads: Downloads;
  /** Events that nobody waits for. */
  readonly #events: Event[] = [];
  #released = false;

  constructor(private readonly context: Context) {
    const out = new BigUint64Array(1);
    context.check(context.driver.api.cuStreamCreate(out, STREAM_NON_BLOCKING), "making a stream");
    this.handle = Number(out[0]);
    this.#pinned = new PinnedMemory(context);
    this.#uploads = new Uploads(context, this.#pinned, this.handle);
    this.#downloads = new Downloads(context, this.#pinned, this.handle);
  }

  /** Pinned memory that `write` copies from directly. @throws OutOfMemoryError */
  lend(bytes: number): UploadMemory {
    return this.#uploads.lend(bytes);
  }

  /** Refuses further copies to the device. Resolves when all lent memory came back, undefined where none is; before `release`. */
  recall(): Promise<unknown> | undefined {
    return this.#uploads.recall();
  }

  /** Copies host memory in; `from` may be changed as soon as this returns, unless it is lent. */
  write(to: number, from: ArrayBufferView): void {
    if (from.byteLength > 0) this.#uploads.write(to, from);
  }

  /** Copies `rows` runs of `width` bytes out, as they are when the ops enqueued before this call are done. */
  async read(to: Uint8Array, from: Pitched, width: number, rows: number): Promise<void> {
    if (width === 0 || rows === 0) return this.finish();
    await this.#downloads.read(to, from, width, rows);
  }

  /** Copies out at once; the stream must be drained. */
  readNow(to: ArrayBufferView, from: number): void {
    if (to.byteLength === 0) return;
    this.context.check(
      this.context.driver.api.cuMemcpyDtoH_v2(to, from, to.byteLength),
      `copying ${formatBytes(to.byteLength)} from the GPU`,
    );
  }

  /** Copies `rows` runs of `width` bytes within the device. */
  copyRows(to: Pitched, from: Pitched, width: number, rows: number): void {
    if (width === 0 || rows === 0) return;
    const { device } = memoryType;
    this.context.check(
      this.context.driver.api.cuMemcpy2DAsync_v2(copy2D({ type: device, ...from }, { type: device, ...to }, width, rows), this.handle),
      `copying ${rows} rows of ${formatBytes(width)} on the GPU`,
    );
  }

  fill(address: number, byte: number, bytes: number): void {
    this.context.check(
      this.context.driver.api.cuMemsetD8Async(address, byte, bytes, this.handle),
      `filling ${formatBytes(bytes)} on the GPU`,
    );
  }

  /** Resolves when everything enqueued so far is done. @throws DeviceLostError */
  async finish(): Promise<void> {
    const event = this.#events.pop() ?? new Event(this.context);
    try {
      event.record(this.handle);
      await event.wait();
    } finally {
      if (this.#released) event.release();
      else this.#events.push(event);
    }
  }

  /** Blocks until everything is done. @throws DeviceLostError */
  drain(): void {
    this.context.check(this.context.driver.api.cuStreamSynchronize(this.handle), "waiting for the last ops");
  }

  /** Records what `work` enqueues instead of running it. */
  capture(work: () => void): Graph {
    const { api } = this.context.driver;
    this.context.check(api.cuStreamBeginCapture_v2(this.handle, CAPTURE_RELAXED), "starting to record a step");
    const graph = new BigUint64Array(1);
    try {
      work();
    } catch (error) {
      api.cuStreamEndCapture(this.handle, graph);
      if (graph[0] !== 0n) api.cuGraphDestroy(Number(graph[0]));
      throw error;
    }
    this.context.check(api.cuStreamEndCapture(this.handle, graph), "recording a step");
    return Graph.instantiate(this.context, Number(graph[0]));
  }

  /** Bytes of host memory for copies. */
  get pinnedBytes(): number {
    return this.#pinned.used;
  }

  release(): void {
    this.#released = true;
    for (const event of this.#events.splice(0)) event.release();
    this.#uploads.release();
    this.#downloads.release();
    this.#pinned.close();
    this.context.driver.api.cuStreamDestroy_v2(this.handle);
  }
}
