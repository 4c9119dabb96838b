/** Measured over predicted, where the results hold both: kernels and whole models of machines with measured ceilings. */
import { sparseConfig } from "@infllm/block-selection";
import { machineOf, type Figures, type ResultRecord } from "../results/record.ts";
import { shapeNamed, shapeNames } from "../shapes.ts";
import { measuredHardware, type Hardware } from "./hardware.ts";
import { predict, predictOp } from "./predict.ts";

export interface Comparison {
  readonly machine: string;
  readonly what: string;
  readonly length: number;
  readonly measured: number;
  readonly predicted: number;
}

const ops = [
  ["dense", "attendDense", "dense attention"],
  ["select", "select", "block selection"],
  ["attend", "attendBlocks", "attention over blocks"],
] as const;

export function comparisons(records: readonly ResultRecord[]): Comparison[] {
  const machines = measuredHardware(records);
  return [...kernelComparisons(records, machines), ...modelComparisons(records, machines)];
}

function kernelComparisons(records: readonly ResultRecord[], machines: ReadonlyMap<string, Hardware>): Comparison[] {
  return records.flatMap((record) => {
    const { suite, cell, config, figures, status } = record;
    const hardware = machines.get(machineOf(record.environment));
    if (suite !== "kernels" || status !== "done" || cell["op"] !== "attention" || hardware === undefined) return [];
    const { phase, length, blocks, lse } = cell;
    const { shape } = config;
    const { rows } = figures;
    if (typeof length !== "number" || typeof blocks !== "number" || typeof rows !== "number") return [];
    if (typeof shape !== "string" || !shapeNames.includes(shape)) return [];
    const named = shapeNamed(shape);
    const local = named.sparse.windowSize / named.sparse.blockSize;
    const sparse = sparseConfig({ ...named.sparse, topk: Math.max(named.sparse.initBlocks + 1, blocks - local), lse: lse === "exact" ? "exact" : "approx" });
    return ops.flatMap(([figure, op, what]) => {
      const measured = medianOf(figures[figure]);
      if (measured === undefined) return [];
      const predicted = predictOp({ ...named, sparse }, hardware, op, rows, length);
      return [{ machine: hardware.name, what: `${what}, ${String(phase)}, ${String(blocks)} blocks, ${String(lse)} LSE`, length, measured, predicted }];
    });
  });
}

/** Whole models of a known shape, on machines whose cpu backend was measured. */
function modelComparisons(records: readonly ResultRecord[], machines: ReadonlyMap<string, Hardware>): Comparison[] {
  return records.flatMap(({ suite, cell, figures, status, model, environment }) => {
    const { engine, attention, length } = cell;
    const hardware = [...machines].find(([name]) => name.startsWith(`${environment.cpu}, ${environment.cores} cores, cpu`))?.[1];
    if (suite !== "e2e" || status !== "done" || engine !== "infllm" || hardware === undefined) return [];
    const { prefillSeconds, decodeTokensPerSecond } = figures;
    const known = model !== undefined && shapeNames.includes(model.name) ? shapeNamed(model.name) : undefined;
    if (known === undefined || typeof length !== "number" || typeof prefillSeconds !== "number" || typeof decodeTokensPerSecond !== "number") return [];
    // These cells attend sparsely at every length when they are asked to.
    const shape = { ...known, sparse: { ...known.sparse, denseLen: 0 } };
    const mode = attention === "sparse" ? "sparse" : "dense";
    const [prefill, decode] = [predict(shape, hardware, "prefill", length)[mode], predict(shape, hardware, "decode", length)[mode]];
    return [
      { machine: hardware.name, what: `whole model, prefill, ${mode}`, length, measured: prefillSeconds, predicted: prefill },
      { machine: hardware.name, what: `whole model, decode of a token, ${mode}`, length, measured: 1 / decodeTokensPerSecond, predicted: decode },
    ];
  });
}

function medianOf(sample: Figures[string] | undefined): number | undefined {
  if (typeof sample !== "object" || sample === null || !("median" in sample)) return undefined;
  return typeof sample.median === "number" ? sample.median : undefined;
}
