/** Weight matrices in the layouts of `weight-layout.ts`, cut by rows into buffers that a kernel can bind. */
import { UsageError, checkWeightShape, rowBytes, writtenRows } from "@infllm/tensor";
import type { WeightDType, WeightMatrix } from "@infllm/tensor";
import type { Bound, Machine } from "./machine.ts";
import { packRows, weightLayout } from "./weight-layout.ts";
import type { WeightLayout } from "./weight-layout.ts";

/** Rows `[from, to)` of the matrix. */
export interface WeightPart {
  readonly from: number;
  readonly to: number;
  readonly bound: Bound;
}

/** Most bytes that are rearranged on the host at once. */
const PACKED_BYTES = 8 * 2 ** 20;

export class WebGpuWeight implements WeightMatrix {
  readonly bytes: number;
  readonly layout: WeightLayout;
  readonly #parts: WeightPart[] = [];
  #released = false;

  constructor(
    private readonly machine: Machine,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: WeightDType,
  ) {
    checkWeightShape(rows, columns, dtype);
    this.layout = weightLayout(dtype, columns);
    const pitch = this.layout.pitchWords * 4;
    this.bytes = rows * pitch;
    const { limits } = machine.device;
    const perPart = Math.max(1, Math.floor(Math.min(machine.bindingBytes, limits.maxBufferSize) / pitch));
    try {
      for (let from = 0; from < rows; from += perPart) {
        const to = Math.min(rows, from + perPart);
        const allocation = machine.pool.allocate(`A weight [${rows}, ${columns}] of ${dtype}`, (to - from) * pitch);
        this.#parts.push({ from, to, bound: { allocation, offset: 0, bytes: allocation.bytes, start: 0 } });
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** @throws UsageError after release */
  get parts(): readonly WeightPart[] {
    if (this.#released) throw new UsageError(`A weight [${this.rows}, ${this.columns}] is used after release().`);
    return this.#parts;
  }

  belongsTo(machine: Machine): boolean {
    return this.machine === machine;
  }

  writeRows(from: number, data: Uint8Array): void {
    this.machine.use();
    const count = writtenRows(this, from, data);
    const stored = rowBytes(this.dtype, this.columns);
    const pitch = this.layout.pitchWords * 4;
    const perWrite = Math.max(1, Math.floor(PACKED_BYTES / pitch));
    for (const part of this.parts) {
      const end = Math.min(part.to, from + count);
      for (let row = Math.max(part.from, from); row < end; row += perWrite) {
        const rows = Math.min(perWrite, end - row);
        const own = data.subarray((row - from) * stored, (row - from + rows) * stored);
        const packed = this.layout.asStored ? own : packRows(this.dtype, this.columns, rows, own);
        this.machine.write(part.bound.allocation.buffer, (row - part.from) * pitch, packed);
      }
    }
  }

  release(): void {
    this.#released = true;
    for (const { bound } of this.#parts) bound.allocation.free();
  }
}
