import { toF32 } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import type { ObservableBackend } from "./observe-linear.ts";

/**
 * Σ x·xᵀ over the inputs x of a linear layer: the Hessian of its squared error, halved (GPTQ, arXiv 2210.17323,
 * section 3.2). The products of each batch of rows are the backend's, in f32; they are added up in float64.
 */
export class InputProducts {
  /** `[columns, columns]`, symmetric. */
  readonly sums: Float64Array;
  /** Rows added so far. */
  rows = 0;

  constructor(readonly columns: number) {
    this.sums = new Float64Array(columns * columns);
  }

  /** Adds the rows of `x` `[rows, columns]`, which the backend holds. */
  add(backend: ObservableBackend, x: DeviceTensor): void {
    const { columns } = this;
    const [rows = 0] = x.shape;
    const stored = backend.host.readNow(x);
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    const values = x.dtype === "f32" ? (stored as Float32Array) : toF32(x.dtype, bytes, rows * columns);
    const across = transposed(values, rows, columns);
    const owned: { release(): void }[] = [];
    try {
      const left = backend.allocate("f32", [columns, rows]);
      owned.push(left);
      const right = backend.neural.allocateWeight(columns, rows, "f32");
      owned.push(right);
      const out = backend.allocate("f32", [columns, columns]);
      owned.push(out);
      backend.write(left, across);
      right.writeRows(0, new Uint8Array(across.buffer));
      backend.neural.linear({ x: left, weight: right, out });
      const products = backend.host.readNow(out) as Float32Array;
      for (let i = 0; i < products.length; i++) this.sums[i] = (this.sums[i] as number) + (products[i] as number);
    } finally {
      for (const item of owned) item.release();
    }
    this.rows += rows;
  }
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c] as number;
  }
  return out;
}
