import { fromF32 } from "@infllm/tensor";
import type { Backend } from "@infllm/tensor";
import type { LoadOptions } from "../load/load-model.ts";
import type { OpenedModel } from "../load/opened-model.ts";
import { Calibration } from "./calibration.ts";
import { gptqRows } from "./gptq-rows.ts";
import type { InputProducts } from "./input-products.ts";
import { inverseFactor } from "./inverse-factor.ts";
import type { QuantizeProgress } from "./quantize-model.ts";

/** A way to get from numbers to quants. */
export interface Rounding {
  /** Rows of q4_g128 from `values` `[rows, columns]`, which it may overwrite; matrices come in the model's order. */
  round(name: string, values: Float32Array, columns: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Every number to the nearest of its group's grid. */
export function nearestRounding(): Rounding {
  return { round: async (_, values) => fromF32("q4_g128", values), close: async () => {} };
}

/** Most bytes of products at a time, unless one layer takes more. */
const PRODUCT_BYTES = 2 ** 30;

interface Context {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: QuantizeProgress) => void) | undefined;
}

/** GPTQ by a text that the model reads. */
export async function gptqRounding(
  opened: OpenedModel,
  matrices: ReadonlyMap<string, readonly number[]>,
  { backend, text, tokens }: { readonly backend: Backend; readonly text: string; readonly tokens: number },
  { signal, onProgress }: Context,
): Promise<Rounding> {
  const onLoad: LoadOptions["onProgress"] = onProgress;
  const calibration = await Calibration.open(opened, { backend, text, tokens, signal, onProgress: onLoad });
  const batches = batchesOf(matrices);
  let read = 0;
  let current: { readonly names: readonly string[]; readonly products: ReadonlyMap<string, InputProducts> } | undefined;
  const factors = new Map<InputProducts, Float64Array>();
  const factorOf = async (name: string): Promise<Float64Array> => {
    if (current === undefined || !current.names.includes(name)) {
      current = undefined;
      factors.clear();
      const own = batches.find((batch) => batch.includes(name)) ?? [name];
      const total = calibration.tokens * batches.length;
      const products = await calibration.products(own, signal, (done) => {
        onProgress?.({ stage: "calibration", name: opened.name, done: read + done, total });
      });
      read += calibration.tokens;
      current = { names: own, products };
    }
    const products = current.products.get(name);
    if (products === undefined) throw new RangeError(`No input of ${name} was seen.`);
    const factor = factors.get(products) ?? inverseFactor(products.sums, products.columns);
    factors.set(products, factor);
    return factor;
  };
  return {
    round: async (name, values, columns) => gptqRows(values, columns, await factorOf(name)),
    close: () => calibration.close(),
  };
}

/** Whole layers whose products and factors fit into PRODUCT_BYTES together, one layer at least. */
function batchesOf(matrices: ReadonlyMap<string, readonly number[]>): string[][] {
  const layers = new Map<string, string[]>();
  for (const name of matrices.keys()) {
    const layer = /^model\.layers\.\d+/.exec(name)?.[0] ?? name;
    layers.set(layer, [...(layers.get(layer) ?? []), name]);
  }
  const batches: string[][] = [];
  let bytes = Infinity;
  for (const names of layers.values()) {
    const own = names.reduce((sum, name) => sum + 16 * (matrices.get(name)?.[1] ?? 0) ** 2, 0);
    if (bytes + own > PRODUCT_BYTES) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(...names);
    bytes += own;
  }
  return batches;
}
