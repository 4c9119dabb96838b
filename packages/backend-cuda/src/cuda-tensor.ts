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

  /** All elements, in a new array without the gaps of a column view, as they are when the ops enqueued so far are done. */
  async toHost(): Promise<HostArray> {
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    const element = dtypeInfo(this.dtype).blockBytes;
    const from = { address: this.address, pitch: this.rowStride * element };
    const [width, rows] = this.contiguous ? [copy.byteLength, 1] : [this.columns * element, this.rows];
    await this.storage.machine.stream.read(new Uint8Array(copy.buffer), from, width, rows);
    return copy;
  }

  /** The same of a tensor whose rows lie one after the other, at once; the stream must be drained. */
  readNow(): HostArray {
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    this.storage.machine.stream.readNow(copy, this.address);
    return copy;
  }
}
