import { rowBytes } from "@infllm/tensor";
import type { WeightDType } from "@infllm/tensor";
import type { Machine } from "../machine.ts";
import { isPlain } from "../weight-layout.ts";

/** Most stored bytes on the device at once. */
const STAGED = 16 * 1024 * 1024;
const THREADS = 256;

/** A weight whose rows a kernel brings into their layout. */
export interface PackedWeight {
  readonly address: number;
  readonly dtype: WeightDType;
  readonly rows: number;
  readonly columns: number;
}

/** Stores whole rows of little-endian data from row `from` on, through scratch memory and in pieces. */
export function packWeight(machine: Machine, weight: PackedWeight, from: number, data: Uint8Array): void {
  const { dtype, rows, columns } = weight;
  const bytes = rowBytes(dtype, columns);
  const most = Math.max(1, Math.floor(STAGED / bytes));
  const count = data.length / bytes;
  const [staged = 0] = machine.scratch("writeRows", Math.min(count, most) * bytes);
  const name = isPlain(dtype) && dtype !== "f32" ? "16" : dtype;
  for (let row = 0; row < count; row += most) {
    const piece = data.subarray(row * bytes, Math.min(count, row + most) * bytes);
    machine.stream.write(staged, piece);
    machine.interrupted();
    machine.launch(
      `pack_weight_${name}`,
      { grid: [piece.length / bytes, Math.max(1, Math.ceil(columns / (8 * THREADS)))], block: [THREADS] },
      (args) => args.pointer(staged).pointer(weight.address).i32(rows).i32(columns).i32(from + row),
    );
  }
}
