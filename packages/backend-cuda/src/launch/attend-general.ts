/** Attention for any shape: kernels/attend-general.cu, a warp per (row, query head). */
import { cacheVariant } from "../cuda-cache.ts";
import type { Machine } from "../machine.ts";
import type { AttendJob } from "./attend-job.ts";
import { gathered, packedBytes, scattered } from "./queries.ts";

export function attendGeneral(machine: Machine, { queries, layer, sequences, out, scaleLog2, chosen }: AttendJob): void {
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const { tensor, heads } = queries;
  const [packedQ = 0, packedOut = 0] = machine.scratch("attention", packedBytes(tensor), packedBytes(out));
  const q = gathered(machine, tensor, packedQ);
  scattered(machine, out, packedOut, (to) =>
    machine.launch(`attend_general_${cacheVariant(machine, dtype)}`, { grid: [tensor.rows, heads], block: [32], shared: 4 * headDim }, (args) =>
      args.struct((s) =>
        sequences
          .pack(s)
          .f32(scaleLog2)
          .i32(heads)
          .i32(kvHeads)
          .i32(headDim)
          .i32(blockSize)
          .i32(tensor.rows)
          .i32(chosen?.budget ?? 0)
          .i32(chosen?.capacity ?? 0)
          .pointer(chosen?.address ?? 0)
          .pointer(q)
          .pointer(layer.addresses.keys)
          .pointer(layer.addresses.values)
          .pointer(layer.addresses.scales)
          .pointer(to),
      ),
    ),
  );
}
