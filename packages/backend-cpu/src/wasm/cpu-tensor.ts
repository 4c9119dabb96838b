/** Tensors in the WASM memory. */
import { UsageError, checkTensorType, dtypeInfo, elementCount, emptyArray, formatShape, regionBounds, tensorBytes, writtenTensorRows } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, Region } from "@infllm/tensor";
import type { Allocation, Memory } from "./memory.ts";

/** The memory that a tensor and its views share. */
interface Storage {
  readonly memory: Memory;
  readonly allocation: Allocation;
  released: boolean;
}

export class CpuTensor implements DeviceTensor {
  readonly rows: number;
  /** Elements of a row. */
  readonly columns: number;

  private constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    private readonly start: number,
    private readonly storage: Storage,
    private readonly isView: boolean,
  ) {
    this.rows = shape[0] ?? 1;
    this.columns = elementCount(shape.slice(1));
  }

  static allocate(memory: Memory, dtype: DType, shape: readonly number[]): CpuTensor {
    checkTensorType(dtype);
    const allocation = memory.take(`A tensor of ${dtype} ${formatShape(shape)}`, tensorBytes(dtype, shape));
    const storage: Storage = { memory, allocation, released: false };
    return new CpuTensor(dtype, [...shape], elementCount(shape.slice(1)), allocation.at, storage, false);
  }

  /** Address of the first element. @throws UsageError after release */
  get address(): number {
    this.assertAlive();
    return this.start;
  }

  belongsTo(memory: Memory): boolean {
    return this.storage.memory === memory;
  }

  assertAlive(): void {
    if (this.storage.released) {
      throw new UsageError(`A tensor of ${this.dtype} ${formatShape(this.shape)} is used after release().`);
    }
  }

  view(region: Region): CpuTensor {
    const { rows: [fromRow, toRow], columns: [fromColumn, toColumn] } = regionBounds(this.shape, region);
    const { blockBytes } = dtypeInfo(this.dtype);
    const start = this.start + (fromRow * this.rowStride + fromColumn) * blockBytes;
    return new CpuTensor(this.dtype, [toRow - fromRow, toColumn - fromColumn], this.rowStride, start, this.storage, true);
  }

  release(): void {
    if (this.isView || this.storage.released) return;
    this.storage.released = true;
    this.storage.allocation.give();
  }

  /** Copies whole rows in. @throws ShapeError, UsageError */
  write(data: HostArray, rowOffset: number): void {
    this.assertAlive();
    const rows = writtenTensorRows(this, data, rowOffset);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#eachSpan(rowOffset, rows, (at, from, to) => this.storage.memory.u8.set(bytes.subarray(from, to), at));
  }

  /** All elements, in a new array without the gaps of a column view. */
  toHost(): HostArray {
    this.assertAlive();
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    const bytes = new Uint8Array(copy.buffer);
    this.#eachSpan(0, this.rows, (at, from, to) => bytes.set(this.storage.memory.u8.subarray(at, at + to - from), from));
    return copy;
  }

  /** Calls `copy(address, from, to)` for runs of bytes that lie together in both places. */
  #eachSpan(row: number, rows: number, copy: (at: number, from: number, to: number) => void): void {
    const { blockBytes } = dtypeInfo(this.dtype);
    const width = this.columns * blockBytes;
    const stride = this.rowStride * blockBytes;
    if (stride === width) copy(this.start + row * stride, 0, rows * width);
    else for (let r = 0; r < rows; r++) copy(this.start + (row + r) * stride, r * width, (r + 1) * width);
  }
}
