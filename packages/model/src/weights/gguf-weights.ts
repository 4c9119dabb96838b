import { rowBytes } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { hfName, ropeTensors } from "./gguf-names.ts";
import { ggufRow, isReordered, reorder } from "./rope-order.ts";

/** The weights of a GGUF file under Hugging Face names and in Hugging Face's row order. */
export function ggufWeights(source: WeightSource, config: ModelConfig): WeightSource {
  const inConfig: readonly string[] = Object.values(ropeTensors);
  const stored = new Map(source.names.filter((name) => !inConfig.includes(name)).map((name) => [hfName(name), name]));
  const nameOf = (name: string) => stored.get(name) ?? name;
  return {
    names: [...stored.keys()],
    info: (name) => source.info(nameOf(name)),
    async readRows(name, from, to, into) {
      if (!isReordered(config, name)) return source.readRows(nameOf(name), from, to, into);
      const { dtype, shape } = source.info(nameOf(name));
      const { headDim } = config;
      if (shape.length === 1) {
        const bias = await source.readRows(nameOf(name), from, to);
        return reorder(bias, rowBytes(dtype, 1), 0, (row) => ggufRow(row, headDim));
      }
      // Rows only move within their head, so whole heads around the range are read.
      const first = Math.floor(from / headDim) * headDim;
      const last = Math.ceil(to / headDim) * headDim;
      const bytes = rowBytes(dtype, shape[1] ?? 0);
      const rows = reorder(await source.readRows(nameOf(name), first, last), bytes, first, (row) => ggufRow(row, headDim));
      return rows.subarray((from - first) * bytes, (to - first) * bytes);
    },
  };
}
