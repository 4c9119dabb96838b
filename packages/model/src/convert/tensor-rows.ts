import { FormatError, UnsupportedError, convertStored, dtypeInfo, isEncodable, rowBytes } from "@infllm/tensor";
import type { DType, EncodableDType } from "@infllm/tensor";
import type { WeightSource } from "../formats/weight-source.ts";
import { assertFinite, firstNonFinite } from "../weights/finite.ts";

/** Bytes handled at a time. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A tensor on its way from one file to another. */
export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The type a tensor is written as. @throws UnsupportedError when its rows are no whole blocks of that type */
export function writtenAs(name: string, shape: readonly number[], stored: DType, wanted: EncodableDType | "stored"): DType {
  if (wanted === "stored") return stored;
  const columns = shape.at(-1) ?? 1;
  const { blockElements } = dtypeInfo(wanted);
  if (columns % blockElements === 0) return wanted;
  throw new UnsupportedError(
    `${name} has rows of ${columns} numbers, which ${wanted} cannot hold: it stores ${blockElements} a block. Convert to f16, bf16 or f32.`,
  );
}

/**
 * The rows of a tensor in its new type, a few megabytes at a time.
 * @param align rows that must stay in one piece (a head's)
 * @throws FormatError naming a tensor with NaN, or with numbers beyond the new type
 */
export async function* tensorRows(
  source: WeightSource,
  plan: TensorPlan,
  align = 1,
): AsyncGenerator<{ data: Uint8Array; from: number }> {
  const { dtype: stored, shape } = source.info(plan.name);
  const columns = shape.at(-1) ?? 1;
  const rows = shape.length > 1 ? (shape[0] ?? 0) : 1;
  const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes(stored, columns) / align)) * align;
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(rows, from + step);
    const data = await source.readRows(plan.name, from, to);
    assertFinite(plan.name, stored, data, columns, from);
    yield { data: converted(plan, stored, data, (to - from) * columns), from };
  }
}

function converted(plan: TensorPlan, stored: DType, data: Uint8Array, elements: number): Uint8Array {
  if (stored === plan.dtype) return data;
  if (!isEncodable(plan.dtype)) throw new UnsupportedError(`${plan.name} cannot be written as ${plan.dtype}.`);
  const result = convertStored(stored, plan.dtype, data, elements);
  if (firstNonFinite(plan.dtype, result) < 0) return result;
  throw new FormatError(`${plan.name} has numbers beyond the range of ${plan.dtype}; convert to bf16 or f32.`);
}
