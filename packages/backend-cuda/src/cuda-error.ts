import { InfllmError } from "@infllm/tensor";

/** A driver call that failed without losing the device; `status` is the driver's own name for the reason. */
export class CudaError extends InfllmError {
  override readonly name = "CudaError";

  constructor(
    /** Such as `CUDA_ERROR_INVALID_VALUE`. */
    readonly status: string,
    doing: string,
    remedy = "",
  ) {
    super(`CUDA: ${status} while ${doing}.${remedy && ` ${remedy}`}`);
  }
}

/** After these every further call on the context fails: a kernel touched memory that is not its own, or the GPU broke. */
export const fatalStatuses: ReadonlySet<number> = new Set([
  214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999,
]);

/** What to do about errors that users can mend. */
export const remedies: ReadonlyMap<number, string> = new Map([
  [34, "The library in use is the toolkit's stub; the real libcuda.so.1 comes with the NVIDIA driver."],
  [100, "No NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES."],
  [200, "The kernels' file is damaged: install @infllm/backend-cuda again."],
  [209, "The kernels were built without code for this GPU; it must be of compute capability 8.0 or newer."],
  [222, "The driver is older than the compiler of the kernels: update the NVIDIA driver."],
  [701, "The kernel needs more registers or shared memory than this GPU has."],
  [803, "The driver's library and kernel module are of different versions: restart the machine."],
]);
