import { ShapeError } from "@infllm/tensor";

/** @throws ShapeError unless there is a value for every key. */
export function checkValues({ k, v }: { readonly k: Float32Array; readonly v: Float32Array }): void {
  if (v.length !== k.length) {
    throw new ShapeError(`v holds ${v.length} numbers and k ${k.length}; both are [length, kvHeads, headDim].`);
  }
}
