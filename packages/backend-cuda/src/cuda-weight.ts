/** Weight matrices in the layouts of `weight-layout.ts`, rearranged by a kernel where these differ from the stored form. */
import { UsageError, checkWeightShape, rowBytes, writtenRows } from "@infllm/tensor";
import type { WeightDType, WeightMatrix } from "@infllm/tensor";
import { packWeight } from "./launch/pack-weight.ts";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory-pool.ts";
import { isFilledUp, liesAsStored, weightBytes } from "./weight-layout.ts";

export class CudaWeight implements WeightMatrix {
  readonly bytes: number;
  readonly #allocation: Allocation;
  #released = false;

  constructor(
    private readonly machine: Machine,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: WeightDType,
  ) {
    checkWeightShape(rows, columns, dtype);
    this.bytes = weightBytes(dtype, rows, columns);
    this.#allocation = machine.pool.allocate(`A weight [${rows}, ${columns}] of ${dtype}`, this.bytes);
    if (isFilledUp(dtype, rows, columns)) machine.stream.fill(this.#allocation.address, 0, this.bytes);
  }

  /** @throws UsageError after release */
  get address(): number {
    if (this.#released) throw new UsageError(`A weight [${this.rows}, ${this.columns}] is used after release().`);
    return this.#allocation.address;
  }

  belongsTo(machine: Machine): boolean {
    return this.machine === machine;
  }

  writeRows(from: number, data: Uint8Array): void {
    this.machine.context.use();
    writtenRows(this, from, data);
    const bytes = rowBytes(this.dtype, this.columns);
    if (liesAsStored(this.dtype, this.columns)) {
      this.machine.stream.write(this.address + from * bytes, data);
      this.machine.interrupted();
    } else {
      packWeight(this.machine, this, from, data);
    }
  }

  release(): void {
    this.#released = true;
    this.#allocation.free();
  }
}
