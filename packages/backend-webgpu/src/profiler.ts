/**
 * GPU time from timestamp queries: by kernel, with every launch in a pass of its own, which shows where time goes but takes
 * longer; or of passes as they are.
 */
import { bufferUsage, mapRead } from "./gpu-constants.ts";

/** Launches that can be timed between two reports. */
const MOST_PASSES = 2048;

export interface KernelTime {
  readonly kernel: string;
  readonly launches: number;
  readonly milliseconds: number;
}

export class Profiler {
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #mapped: GPUBuffer;
  #labels: string[] = [];

  constructor(
    device: GPUDevice,
    readonly byKernel: boolean,
  ) {
    const size = MOST_PASSES * 2 * 8;
    this.#queries = device.createQuerySet({ type: "timestamp", count: MOST_PASSES * 2 });
    this.#resolved = device.createBuffer({ size, usage: bufferUsage.queryResolve | bufferUsage.copySource });
    this.#mapped = device.createBuffer({ size, usage: bufferUsage.mapRead | bufferUsage.copyTarget });
  }

  /** Where the next pass notes its times; undefined when there is no room left. */
  next(label: string): GPUComputePassTimestampWrites | undefined {
    if (this.#labels.length === MOST_PASSES) return undefined;
    const at = 2 * this.#labels.length;
    this.#labels.push(this.byKernel ? label : "all");
    return { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  resolve(encoder: GPUCommandEncoder): void {
    const count = 2 * this.#labels.length;
    if (count === 0) return;
    encoder.resolveQuerySet(this.#queries, 0, count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#mapped, 0, count * 8);
  }

  /** Times since the last report, longest first. Everything must be submitted. */
  async report(): Promise<KernelTime[]> {
    const labels = this.#labels;
    this.#labels = [];
    if (labels.length === 0) return [];
    await this.#mapped.mapAsync(mapRead, 0, labels.length * 16);
    const times = new BigUint64Array(this.#mapped.getMappedRange(0, labels.length * 16)).slice();
    this.#mapped.unmap();
    const sums = new Map<string, { launches: number; milliseconds: number }>();
    labels.forEach((kernel, i) => {
      const sum = sums.get(kernel) ?? { launches: 0, milliseconds: 0 };
      const [from = 0n, to = 0n] = times.subarray(2 * i, 2 * i + 2);
      sum.launches++;
      sum.milliseconds += Math.max(0, Number(to - from)) / 1e6;
      sums.set(kernel, sum);
    });
    return [...sums].map(([kernel, sum]) => ({ kernel, ...sum })).sort((a, b) => b.milliseconds - a.milliseconds);
  }

  close(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    this.#mapped.destroy();
  }
}
