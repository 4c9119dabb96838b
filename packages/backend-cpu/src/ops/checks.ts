/** Turns the arguments of an op into tensors of this backend, or says what is wrong with them. */
import { ShapeError, UsageError, formatShape } from "@infllm/tensor";
import type { DeviceTensor, WeightMatrix } from "@infllm/tensor";
import type { LayerCache } from "@infllm/block-selection";
import { CpuCache } from "../wasm/cpu-cache.ts";
import { CpuTensor } from "../wasm/cpu-tensor.ts";
import { CpuWeight } from "../wasm/cpu-weight.ts";
import type { Machine } from "../wasm/machine.ts";

/** What a matrix must be; a number left out may be anything. */
export interface Expected {
  readonly rows?: number | undefined;
  readonly columns?: number | undefined;
}

/** `what` names op and argument: "linear: x". @throws UsageError (another backend's, released, not f32), ShapeError */
export function f32Rows(machine: Machine, what: string, tensor: DeviceTensor, expected: Expected = {}): CpuTensor {
  return checkTensor(machine, what, tensor, "f32", expected);
}

/** As `f32Rows`, for i32. */
export function i32Rows(machine: Machine, what: string, tensor: DeviceTensor, expected: Expected = {}): CpuTensor {
  return checkTensor(machine, what, tensor, "i32", expected);
}

/** A contiguous f32 vector `[length]`. */
export function f32Vector(machine: Machine, what: string, tensor: DeviceTensor, length: number): CpuTensor {
  return contiguous(what, checkTensor(machine, what, tensor, "f32", { rows: length, columns: 1 }));
}

/** A contiguous i32 vector, at least as long as asked. */
export function i32Vector(machine: Machine, what: string, tensor: DeviceTensor, atLeast: number): CpuTensor {
  const own = contiguous(what, checkTensor(machine, what, tensor, "i32", { columns: 1 }));
  if (own.rows < atLeast) throw new ShapeError(`${what} has ${own.rows} entries; ${atLeast} are needed.`);
  return own;
}

/** A tensor `[kvHeads, capacity ≥ rows, columns]`. */
export function perHeadRows(
  machine: Machine,
  what: string,
  tensor: DeviceTensor,
  expected: { readonly dtype: "i32" | "f32"; readonly kvHeads: number; readonly rows: number; readonly columns?: number },
): { readonly tensor: CpuTensor; readonly capacity: number; readonly columns: number } {
  const own = ownTensor(machine, what, tensor);
  const [heads, capacity = 0, columns = 0] = own.shape;
  const { dtype, kvHeads, rows } = expected;
  const fits = heads === kvHeads && capacity >= rows && columns === (expected.columns ?? columns);
  if (own.dtype !== dtype || own.shape.length !== 3 || !fits) {
    throw new ShapeError(
      `${what} is ${own.dtype} ${formatShape(own.shape)}; it must be ${dtype} [${kvHeads}, ${rows} or more, ` +
        `${expected.columns ?? "blocks"}].`,
    );
  }
  return { tensor: own, capacity, columns };
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

function checkTensor(
  machine: Machine,
  what: string,
  tensor: DeviceTensor,
  dtype: "f32" | "i32",
  { rows, columns }: Expected,
): CpuTensor {
  const own = ownTensor(machine, what, tensor);
  if (own.dtype !== dtype) throw new UsageError(`${what} is ${own.dtype}; it must be ${dtype}.`);
  if ((rows ?? own.rows) !== own.rows || (columns ?? own.columns) !== own.columns) {
    const wanted = formatShape([rows ?? own.rows, columns ?? own.columns]);
    throw new ShapeError(`${what} has shape ${formatShape(own.shape)}; it must hold ${wanted}.`);
  }
  return own;
}

function contiguous(what: string, tensor: CpuTensor): CpuTensor {
  if (tensor.rowStride !== 1) throw new ShapeError(`${what} is a column of a wider tensor; a vector must lie together.`);
  return tensor;
}
