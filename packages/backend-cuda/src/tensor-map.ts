/** Descriptions of tensors for Hopper's copy engine: 128 opaque bytes that a kernel takes as a parameter. */
import { tensorMap } from "./driver.ts";
import type { Driver } from "./driver.ts";
import type { Context } from "./context.ts";

export const TENSOR_MAP_BYTES = 128;
export const TENSOR_MAP_ALIGNMENT = 64;

/** A row-major tensor of 2-byte elements, innermost dimension first. */
export interface MappedTensor {
  readonly dtype: "bf16" | "f16";
  readonly address: number;
  readonly dims: readonly number[];
  /** Bytes between neighbours of dimension 1, 2, …; multiples of 16. */
  readonly strides: readonly number[];
  /** Elements copied at once; the innermost run is 64 elements (128 bytes), swizzled. */
  readonly box: readonly number[];
}

export class TensorMaps {
  readonly #bytes: Uint8Array;

  constructor(
    private readonly driver: Driver,
    private readonly context: Context,
  ) {
    this.#bytes = new Uint8Array(driver.memory.allocate(TENSOR_MAP_BYTES).view);
  }

  encode({ dtype, address, dims, strides, box }: MappedTensor): Uint8Array {
    const status = this.driver.api.cuTensorMapEncodeTiled(
      this.#bytes, tensorMap[dtype], dims.length, address, words(dims), words(strides), Uint32Array.from(box),
      new Uint32Array(dims.length).fill(1), 0, tensorMap.swizzle128, tensorMap.promotion256, 0,
    );
    this.context.check(status, `describing a tensor of [${dims.join(", ")}] with boxes of [${box.join(", ")}] to the copy engine`);
    return this.#bytes.slice();
  }
}

function words(values: readonly number[]): BigUint64Array {
  return BigUint64Array.from(values, BigInt);
}
