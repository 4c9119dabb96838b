/** Tensors of the reference backend: typed arrays in host memory. */
import { UsageError, checkTensorType, elementCount, emptyArray, formatShape, regionBounds, tensorBytes, writtenTensorRows } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, Region } from "@infllm/tensor";
import type { Memory } from "./memory.ts";

/** The memory that a tensor and its views share. */
interface Storage {
  readonly data: HostArray;
  released: boolean;
  release(): void;
}

export class ReferenceTensor implements DeviceTensor {
  readonly rows: number;
  /** Elements of a row. */
  readonly columns: number;

  private constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    private readonly offset: number,
    private readonly storage: Storage,
    private readonly isView: boolean,
  ) {
    this.rows = shape[0] ?? 1;
    this.columns = elementCount(shape.slice(1));
  }

  static allocate(memory: Memory, dtype: DType, shape: readonly number[]): ReferenceTensor {
    checkTensorType(dtype);
    const what = `A tensor of ${dtype} ${formatShape(shape)}`;
    const length = elementCount(shape);
    const taken = memory.take(what, tensorBytes(dtype, shape), () => emptyArray(dtype, length));
    const storage: Storage = { ...taken, released: false };
    return new ReferenceTensor(dtype, [...shape], elementCount(shape.slice(1)), 0, storage, false);
  }

  view(region: Region): ReferenceTensor {
    const { rows: [fromRow, toRow], columns: [fromColumn, toColumn] } = regionBounds(this.shape, region);
    const offset = this.offset + fromRow * this.rowStride + fromColumn;
    const shape = [toRow - fromRow, toColumn - fromColumn];
    return new ReferenceTensor(this.dtype, shape, this.rowStride, offset, this.storage, true);
  }

  release(): void {
    if (this.isView || this.storage.released) return;
    this.storage.released = true;
    this.storage.release();
  }

  /** The elements of row `index`, shared with the tensor. @throws UsageError after release */
  row(index: number): HostArray {
    if (this.storage.released) {
      throw new UsageError(`A tensor of ${this.dtype} ${formatShape(this.shape)} is used after release().`);
    }
    const from = this.offset + index * this.rowStride;
    return this.storage.data.subarray(from, from + this.columns);
  }

  /** Copies whole rows in. @throws ShapeError, UsageError */
  write(data: HostArray, rowOffset: number): void {
    const rows = writtenTensorRows(this, data, rowOffset);
    for (let r = 0; r < rows; r++) {
      this.row(rowOffset + r).set(data.subarray(r * this.columns, (r + 1) * this.columns));
    }
  }

  /** All elements, in a new array without the gaps of a column view. */
  toHost(): HostArray {
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    for (let r = 0; r < this.rows; r++) copy.set(this.row(r), r * this.columns);
    return copy;
  }
}
