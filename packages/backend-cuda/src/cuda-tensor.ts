/** Tensors in the GPU's memory. */
import { UsageError, checkTensorType, dtypeInfo, elementCount, emptyArray, formatShape, regionBounds, tensorBytes, writtenTensorRows } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, Region } from "@infllm/tensor";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory-pool.ts";

/** The memory that a tensor and its views share. */
interface Storage {
  readonly machine: Machine;
  readonly allocation: Allocation;
  released: boolean;
}

export class CudaTensor implements DeviceTensor {
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

  static allocate(machine: Machine, dtype: DType, shape: readonly number[]): CudaTensor {
    checkTensorType(dtype);
    const allocation = machine.pool.allocate(`A tensor of ${dtype} ${formatShape(shape)}`, tensorBytes(dtype, shape));
    const storage: Storage = { machine, allocation, released: false };
    return new CudaTensor(dtype, [...shape], elementCount(shape.slice(1)), allocation.address, storage, false);
  }

  /** Device address of the first element. @throws UsageError after release */
  get address(): number {
    this.assertAlive();
    return this.start;
  }

  /** Do its rows lie one after the other? */
  get contiguous(): boolean {
    return this.rows <= 1 || this.rowStride === this.columns;
  }

  belongsTo(machine: Machine): boolean {
    return this.storage.machine === machine;
  }

  assertAlive(): void {
    if (this.storage.released) {
      throw new UsageError(`A tensor of ${this.dtype} ${formatShape(this.shape)} is used after release().`);
    }
  }

  view(region: Region): CudaTensor {
    const { rows: [fromRow, toRow], columns: [fromColumn, toColumn] } = regionBounds(this.shape, region);
    const start = this.start + (fromRow * this.rowStride + fromColumn) * dtypeInfo(this.dtype).blockBytes;
    return new CudaTensor(this.dtype, [toRow - fromRow, toColumn - fromColumn], this.rowStride, start, this.storage, true);
  }

  release(): void {
    if (this.isView || this.storage.released) return;
    this.storage.released = true;
    this.storage.allocation.free();
  }

  /** Copies whole rows in. @throws ShapeError, UsageError */
  write(data: HostArray, rowOffset: number): void {
    const rows = writtenTensorRows(this, data, rowOffset);
    const { stream } = this.storage.machine;
    const pitch = this.rowStride * dtypeInfo(this.dtype).blockBytes;
    const at = this.address + rowOffset * pitch;
    if (this.contiguous || rows === 1) stream.write(at, data);
    else for (let r = 0; r < rows; r++) stream.write(at + r * pitch, data.subarray(r * this.columns, (r + 1) * this.columns));
  }

  /** All elements, in a new array without the gaps of a column view; the ops before must be done. */
  toHost(): HostArray {
    const { stream } = this.storage.machine;
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    const pitch = this.rowStride * dtypeInfo(this.dtype).blockBytes;
    const at = this.address;
    if (this.contiguous) stream.read(copy, at);
    else for (let r = 0; r < this.rows; r++) stream.read(copy.subarray(r * this.columns, (r + 1) * this.columns), at + r * pitch);
    return copy;
  }
}
