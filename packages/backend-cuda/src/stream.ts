/** The one queue of a backend: copies, launches and captures are done in the order of the calls. */
import { formatBytes } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { CAPTURE_RELAXED, STREAM_NON_BLOCKING, memoryType } from "./driver.ts";
import { Event } from "./event.ts";
import { Graph } from "./graph.ts";

/** A rectangle of bytes. */
export interface Pitched {
  readonly address: number;
  /** Bytes from one row to the next. */
  readonly pitch: number;
}

export class Stream {
  readonly handle: number;

  constructor(private readonly context: Context) {
    const out = new BigUint64Array(1);
    context.check(context.driver.api.cuStreamCreate(out, STREAM_NON_BLOCKING), "making a stream");
    this.handle = Number(out[0]);
  }

  /** Copies host memory in; `from` may be changed as soon as this returns. */
  write(to: number, from: ArrayBufferView): void {
    if (from.byteLength === 0) return;
    this.context.check(
      this.context.driver.api.cuMemcpyHtoDAsync_v2(to, from, from.byteLength, this.handle),
      `copying ${formatBytes(from.byteLength)} to the GPU`,
    );
  }

  /** Copies out; the stream must have finished the ops that wrote it (`finish`). */
  read(to: ArrayBufferView, from: number): void {
    if (to.byteLength === 0) return;
    this.context.check(
      this.context.driver.api.cuMemcpyDtoH_v2(to, from, to.byteLength),
      `copying ${formatBytes(to.byteLength)} from the GPU`,
    );
  }

  /** Copies `rows` runs of `width` bytes within the device. */
  copyRows(to: Pitched, from: Pitched, width: number, rows: number): void {
    if (width === 0 || rows === 0) return;
    // CUDA_MEMCPY2D: x, y, type, host, device, array, pitch of source and target, then width and height.
    const words = new BigUint64Array(16);
    const set = (index: number, value: number): void => {
      words[index] = BigInt(value);
    };
    set(2, memoryType.device);
    set(4, from.address);
    set(6, from.pitch);
    set(9, memoryType.device);
    set(11, to.address);
    set(13, to.pitch);
    set(14, width);
    set(15, rows);
    this.context.check(
      this.context.driver.api.cuMemcpy2DAsync_v2(new Uint8Array(words.buffer), this.handle),
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
    const event = new Event(this.context);
    try {
      event.record(this.handle);
      await event.wait();
    } finally {
      event.release();
    }
  }

  /** Blocks until everything is done: for closing only. */
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

  release(): void {
    this.context.driver.api.cuStreamDestroy_v2(this.handle);
  }
}
