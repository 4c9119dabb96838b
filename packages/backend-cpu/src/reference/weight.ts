/** Weight matrices of the reference backend: decoded to f32 when written. */
import { UsageError, checkWeightShape, rowBytes, toF32, writtenRows } from "@infllm/tensor";
import type { WeightDType, WeightMatrix } from "@infllm/tensor";
import type { Memory } from "./memory.ts";

export class ReferenceWeight implements WeightMatrix {
  /** Bytes held here, 4 for each number; the stored form is not kept. */
  readonly bytes: number;
  readonly #memory: ReturnType<Memory["f32"]>;
  #released = false;

  constructor(
    memory: Memory,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: WeightDType,
  ) {
    checkWeightShape(rows, columns, dtype);
    this.bytes = rows * columns * 4;
    this.#memory = memory.f32(`A weight [${rows}, ${columns}]`, rows * columns);
  }

  writeRows(from: number, data: Uint8Array): void {
    const count = writtenRows(this, from, data);
    const bytes = rowBytes(this.dtype, this.columns);
    for (let r = 0; r < count; r++) {
      this.row(from + r).set(toF32(this.dtype, data.subarray(r * bytes, (r + 1) * bytes), this.columns));
    }
  }

  /** f32 `[columns]`. @throws UsageError after release */
  row(index: number): Float32Array {
    if (this.#released) throw new UsageError(`A weight [${this.rows}, ${this.columns}] is used after release().`);
    return this.#memory.data.subarray(index * this.columns, (index + 1) * this.columns);
  }

  release(): void {
    this.#released = true;
    this.#memory.release();
  }
}

/** @throws UsageError for another backend's weight */
export function ownWeight(what: string, weight: WeightMatrix): ReferenceWeight {
  if (!(weight instanceof ReferenceWeight)) {
    throw new UsageError(`${what} was not allocated by this backend. Load the weight with this backend's allocateWeight.`);
  }
  return weight;
}
