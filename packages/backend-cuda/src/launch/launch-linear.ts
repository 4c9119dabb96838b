/** What the launches of products share. */
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { KernelArgs } from "../kernel-args.ts";
import type { LaunchSize, Machine } from "../machine.ts";
import { wideAccess } from "./wide-access.ts";

export interface Operands {
  readonly x: CudaTensor;
  readonly weight: CudaWeight;
  readonly bias: CudaTensor | undefined;
  readonly out: CudaTensor;
}

/** Kernels that overlap read weights before they wait for the launch before: that must not be their own writing. */
export function weightIsOld(machine: Machine): boolean {
  return !machine.lastKernel.startsWith("pack_weight") && !machine.lastKernel.startsWith("embed_");
}

/** A kernel that takes a `Linear` of kernels/linear-few.cuh, and maybe more. */
export function launchLinear(
  machine: Machine,
  { kernel, ...size }: LaunchSize & { readonly kernel: string },
  { x, weight, bias, out }: Operands,
  more: (args: KernelArgs) => void = () => {},
): void {
  machine.launch(kernel, { ...size, overlap: weightIsOld(machine) }, (args) => {
    args.struct((op) =>
      op
        .pointer(x.address)
        .i64(x.rowStride)
        .pointer(weight.address)
        .pointer(bias?.address ?? 0)
        .pointer(out.address)
        .i64(out.rowStride)
        .i32(x.rows)
        .i32(weight.columns)
        .i32(weight.rows)
        .i32(out.dtype === "f32" ? 1 : 0)
        .i32(wideAccess(x.columns, x)),
    );
    more(args);
  });
}
