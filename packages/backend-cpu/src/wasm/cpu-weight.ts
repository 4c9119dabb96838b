/**
 * Weight matrices in the WASM memory: f32, f16 and bf16 in panels of 8 rows, [rows / 8][columns][8], quantised rows as
 * they came. No weight is kept in any other form.
 */
import { UsageError, checkWeightShape, isQuantized, rowBytes, writtenRows } from "@infllm/tensor";
import type { WeightDType, WeightMatrix } from "@infllm/tensor";
import { op } from "../abi.ts";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory.ts";

/** Bytes copied in before they are packed. */
const STAGE = 2 ** 20;

export class CpuWeight implements WeightMatrix {
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
    const stored = isQuantized(dtype) ? rows : Math.ceil(rows / 8) * 8;
    this.bytes = stored * rowBytes(dtype, columns);
    this.#allocation = machine.memory.take(`A weight [${rows}, ${columns}] of ${dtype}`, this.bytes);
  }

  /** @throws UsageError after release */
  get address(): number {
    if (this.#released) throw new UsageError(`A weight [${this.rows}, ${this.columns}] is used after release().`);
    return this.#allocation.at;
  }

  belongsTo(machine: Machine): boolean {
    return this.machine === machine;
  }

  writeRows(from: number, data: Uint8Array): void {
    this.machine.use();
    const count = writtenRows(this, from, data);
    const bytes = rowBytes(this.dtype, this.columns);
    if (isQuantized(this.dtype)) this.machine.memory.u8.set(data, this.address + from * bytes);
    else this.#pack(from, count, data, bytes);
  }

  release(): void {
    this.#released = true;
    this.#allocation.give();
  }

  /** Through a stage inside the WASM memory, in pieces. */
  #pack(first: number, count: number, data: Uint8Array, bytes: number): void {
    const { memory } = this.machine;
    const most = Math.max(1, Math.floor(STAGE / bytes));
    // Whole panels, which are packed fastest.
    const perStage = most > 8 ? most - (most % 8) : most;
    const stage = memory.take("The stage that weights are packed from", Math.min(perStage, Math.max(count, 1)) * bytes);
    try {
      for (let row = 0; row < count; row += perStage) {
        const rows = Math.min(perStage, count - row);
        memory.u8.set(data.subarray(row * bytes, (row + rows) * bytes), stage.at);
        const words = Int32Array.of(stage.at, this.address, first + row, rows, this.columns, bytes / this.columns);
        this.machine.run(op.packRows, words, 1);
      }
    } finally {
      stage.give();
    }
  }
}
