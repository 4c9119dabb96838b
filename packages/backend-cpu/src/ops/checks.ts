/** Turns the arguments of an op into tensors of this backend, or says what is wrong with them. */
import { ShapeError, UsageError, checkIndices, checkMatrix, checkPerHead } from "@infllm/tensor";
import type { DeviceTensor, ExpectedMatrix, ExpectedPerHead, WeightMatrix } from "@infllm/tensor";
import type { LayerCache } from "@infllm/block-selection";
import { CpuCache } from "../wasm/cpu-cache.ts";
import { CpuTensor } from "../wasm/cpu-tensor.ts";
import { CpuWeight } from "../wasm/cpu-weight.ts";
import type { Machine } from "../wasm/machine.ts";

/** `what` names op and argument: "linear: x". @throws UsageError (another backend's, released, not f32), ShapeError */
export function f32Rows(machine: Machine, what: string, tensor: DeviceTensor, expected?: ExpectedMatrix): CpuTensor {
  return checkMatrix(what, ownTensor(machine, what, tensor), ["f32"], expected);
}

/** As `f32Rows`, for i32. */
export function i32Rows(machine: Machine, what: string, tensor: DeviceTensor, expected?: ExpectedMatrix): CpuTensor {
  return checkMatrix(what, ownTensor(machine, what, tensor), ["i32"], expected);
}

/** A contiguous f32 vector `[length]`. */
export function f32Vector(machine: Machine, what: string, tensor: DeviceTensor, length: number): CpuTensor {
  return contiguous(what, f32Rows(machine, what, tensor, { rows: length, columns: 1 }));
}

/** A contiguous i32 vector, at least as long as asked. */
export function i32Vector(machine: Machine, what: string, tensor: DeviceTensor, atLeast: number): CpuTensor {
  return contiguous(what, checkIndices(what, ownTensor(machine, what, tensor), atLeast));
}

/** A tensor `[kvHeads, capacity ≥ rows, columns]`. */
export function perHeadRows(machine: Machine, what: string, tensor: DeviceTensor, expected: ExpectedPerHead): ReturnType<typeof checkPerHead<CpuTensor>> {
  return checkPerHead(what, ownTensor(machine, what, tensor), expected);
}

/** The tensor as this backend made it. @throws UsageError */
export function ownTensor(machine: Machine, what: string, tensor: DeviceTensor): CpuTensor {
  if (!(tensor instanceof CpuTensor) || !tensor.belongsTo(machine.memory)) {
    throw new UsageError(`${what} was not allocated by this backend. Read it there and write it into a tensor made here.`);
  }
  tensor.assertAlive();
  return tensor;
}

/** The weight as this backend made it. @throws UsageError */
export function ownWeight(machine: Machine, what: string, weight: WeightMatrix): CpuWeight {
  if (!(weight instanceof CpuWeight) || !weight.belongsTo(machine)) {
    throw new UsageError(`${what} was not allocated by this backend. Load the weight with this backend's allocateWeight.`);
  }
  return weight;
}

/** The cache as this backend made it. @throws UsageError */
export function ownCache(machine: Machine, what: string, cache: LayerCache): CpuCache {
  if (!(cache instanceof CpuCache) || !cache.belongsTo(machine.memory)) {
    throw new UsageError(`${what} was not allocated by this backend. Make it with this backend's allocateCache.`);
  }
  return cache;
}

function contiguous(what: string, tensor: CpuTensor): CpuTensor {
  if (tensor.rowStride !== 1) throw new ShapeError(`${what} is a column of a wider tensor; a vector must lie together.`);
  return tensor;
}
