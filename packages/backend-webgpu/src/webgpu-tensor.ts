/** Tensors in the GPU's memory, each in a buffer of its own. */
import { UnsupportedError, UsageError, checkTensorType, dtypeInfo, elementCount, emptyArray, formatBytes, formatShape, regionBounds, tensorBytes, writtenTensorRows } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, Region } from "@infllm/tensor";
import type { Allocation } from "./buffer-pool.ts";
import { writeBytes } from "./launch/write-bytes.ts";
import type { Bound, Machine } from "./machine.ts";
import type { Readback } from "./readback.ts";

/** The memory that a tensor and its views share. */
interface Storage {
  readonly machine: Machine;
  readonly allocation: Allocation;
  released: boolean;
}

/** Bindings start at multiples of this. */
const BINDING_ALIGNMENT = 256;

export class WebGpuTensor implements DeviceTensor {
  readonly rows: number;
  /** Elements of a row. */
  readonly columns: number;

  private constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    /** Of the first element, in elements. */
    readonly offset: number,
    private readonly storage: Storage,
    private readonly isView: boolean,
  ) {
    this.rows = shape[0] ?? 1;
    this.columns = elementCount(shape.slice(1));
  }

  static allocate(machine: Machine, dtype: DType, shape: readonly number[]): WebGpuTensor {
    checkTensorType(dtype);
    const allocation = machine.pool.allocate(`A tensor of ${dtype} ${formatShape(shape)}`, tensorBytes(dtype, shape));
    return new WebGpuTensor(dtype, [...shape], elementCount(shape.slice(1)), 0, { machine, allocation, released: false }, false);
  }

  /** Do its rows lie one after the other? */
  get contiguous(): boolean {
    return this.rows <= 1 || this.rowStride === this.columns;
  }

  /** Do all rows start at multiples of four elements? */
  get inFours(): boolean {
    return this.offset % 4 === 0 && (this.rows <= 1 || this.rowStride % 4 === 0);
  }

  get allocation(): Allocation {
    this.assertAlive();
    return this.storage.allocation;
  }

  belongsTo(machine: Machine): boolean {
    return this.storage.machine === machine;
  }

  assertAlive(): void {
    if (this.storage.released) {
      throw new UsageError(`A tensor of ${this.dtype} ${formatShape(this.shape)} is used after release().`);
    }
  }

  /** Rows `[from, to)` as a kernel sees them; `start` is where row `from` begins. @throws UnsupportedError when too large */
  bound(from = 0, to: number = this.rows): Bound {
    const { allocation } = this;
    const size = dtypeInfo(this.dtype).blockBytes;
    const first = (this.offset + from * this.rowStride) * size;
    const { bindingBytes } = this.storage.machine;
    if (allocation.bytes <= bindingBytes) return { allocation, offset: 0, bytes: allocation.bytes, start: first / size };
    const last = first + Math.max(0, (to - from - 1) * this.rowStride + this.columns) * size;
    const offset = Math.floor(first / BINDING_ALIGNMENT) * BINDING_ALIGNMENT;
    const bytes = Math.min(allocation.bytes, Math.ceil(last / 16) * 16 + 16) - offset;
    if (bytes > bindingBytes) {
      throw new UnsupportedError(
        `${to - from} rows of a tensor of ${this.dtype} ${formatShape(this.shape)} span ${formatBytes(bytes)}; this GPU's kernels reach ` +
          `${formatBytes(bindingBytes)} at once. Use fewer rows at a time.`,
      );
    }
    return { allocation, offset, bytes, start: (first - offset) / size };
  }

  view(region: Region): WebGpuTensor {
    const { rows: [fromRow, toRow], columns: [fromColumn, toColumn] } = regionBounds(this.shape, region);
    const offset = this.offset + fromRow * this.rowStride + fromColumn;
    return new WebGpuTensor(this.dtype, [toRow - fromRow, toColumn - fromColumn], this.rowStride, offset, this.storage, true);
  }

  release(): void {
    if (this.isView || this.storage.released) return;
    this.storage.released = true;
    this.storage.allocation.free();
  }

  /** Copies whole rows in. @throws ShapeError, UsageError */
  write(data: HostArray, rowOffset: number): void {
    const rows = writtenTensorRows(this, data, rowOffset);
    const size = dtypeInfo(this.dtype).blockBytes;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const at = (this.offset + rowOffset * this.rowStride) * size;
    const pitch = this.rowStride * size;
    const width = this.columns * size;
    const { machine, allocation } = this.storage;
    this.assertAlive();
    if (this.contiguous || rows === 1) writeBytes(machine, allocation, at, bytes);
    else for (let r = 0; r < rows; r++) writeBytes(machine, allocation, at + r * pitch, bytes.subarray(r * width, (r + 1) * width));
  }

  /** All elements, in a new array without the gaps of a column view. */
  async toHost(readback: Readback): Promise<HostArray> {
    const copy = emptyArray(this.dtype, this.rows * this.columns);
    if (copy.length === 0) return copy;
    const size = dtypeInfo(this.dtype).blockBytes;
    const span = this.contiguous ? copy.length : (this.rows - 1) * this.rowStride + this.columns;
    const bytes = await readback.read(this.allocation, this.offset * size, span * size);
    const to = new Uint8Array(copy.buffer);
    if (this.contiguous) {
      to.set(bytes);
      return copy;
    }
    const [pitch, width] = [this.rowStride * size, this.columns * size];
    for (let r = 0; r < this.rows; r++) to.set(bytes.subarray(r * pitch, r * pitch + width), r * width);
    return copy;
  }
}
