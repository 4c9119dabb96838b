/** Turns the arguments of an op into tensors of this backend, or says what is wrong with them. */
import { ShapeError, UsageError, checkIndices, checkMatrix, checkPerHead } from "@infllm/tensor";
import type { DType, DeviceTensor, ExpectedMatrix, ExpectedPerHead, WeightMatrix } from "@infllm/tensor";
import type { LayerCache } from "@infllm/block-selection";
import { CudaCache } from "./cuda-cache.ts";
import { CudaTensor } from "./cuda-tensor.ts";
import { CudaWeight } from "./cuda-weight.ts";
import type { Machine } from "./machine.ts";

/** A matrix in the activation type, maybe a column view. `what` names op and argument: "linear: x". */
export function activationRows(machine: Machine, what: string, tensor: DeviceTensor, expected?: ExpectedMatrix): CudaTensor {
  return rowsOf(machine, what, tensor, [machine.activation], expected);
}

/** A matrix of one of these types. @throws UsageError (another backend's, released, another type), ShapeError */
export function rowsOf(machine: Machine, what: string, tensor: DeviceTensor, dtypes: readonly DType[], expected?: ExpectedMatrix): CudaTensor {
  return checkMatrix(what, ownTensor(machine, what, tensor), dtypes, expected);
}

/** A contiguous f32 vector `[length]`. */
export function f32Vector(machine: Machine, what: string, tensor: DeviceTensor, length: number): CudaTensor {
  return together(what, rowsOf(machine, what, tensor, ["f32"], { rows: length, columns: 1 }));
}

/** A contiguous i32 vector, at least as long as asked. */
export function i32Vector(machine: Machine, what: string, tensor: DeviceTensor, atLeast: number): CudaTensor {
  return together(what, checkIndices(what, ownTensor(machine, what, tensor), atLeast));
}

/** A tensor `[kvHeads, capacity ≥ rows, columns]`. */
export function perHeadRows(machine: Machine, what: string, tensor: DeviceTensor, expected: ExpectedPerHead): ReturnType<typeof checkPerHead<CudaTensor>> {
  return checkPerHead(what, ownTensor(machine, what, tensor), expected);
}

/** The tensor as this backend made it. @throws UsageError */
export function ownTensor(machine: Machine, what: string, tensor: DeviceTensor): CudaTensor {
  if (!(tensor instanceof CudaTensor) || !tensor.belongsTo(machine)) {
    throw new UsageError(`${what} was not allocated by this backend. Read it there and write it into a tensor made here.`);
  }
  tensor.assertAlive();
  return tensor;
}

/** The weight as this backend made it. @throws UsageError */
export function ownWeight(machine: Machine, what: string, weight: WeightMatrix): CudaWeight {
  if (!(weight instanceof CudaWeight) || !weight.belongsTo(machine)) {
    throw new UsageError(`${what} was not allocated by this backend. Load the weight with this backend's allocateWeight.`);
  }
  return weight;
}

/** The cache as this backend made it. @throws UsageError */
export function ownCache(machine: Machine, what: string, cache: LayerCache): CudaCache {
  if (!(cache instanceof CudaCache) || !cache.belongsTo(machine)) {
    throw new UsageError(`${what} was not allocated by this backend. Make it with this backend's allocateCache.`);
  }
  return cache;
}

function together(what: string, tensor: CudaTensor): CudaTensor {
  if (!tensor.contiguous) throw new ShapeError(`${what} is a column of a wider tensor; a vector must lie together.`);
  return tensor;
}
