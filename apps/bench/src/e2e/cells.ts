/** The cells of `infllm-bench e2e`: engine, attention and length. */
import { summary } from "../measure.ts";
import type { Figures } from "../results/record.ts";
import type { Cell, CellContext } from "../results/run-cells.ts";
import { measureApart, measureHere } from "./measure.ts";
import type { E2eAttention, E2eFigures, E2eModel, E2eSpec, Engine } from "./spec.ts";

export interface E2ePlan {
  readonly engines: readonly Engine[];
  /** Those of each engine's attentions that are wanted; all when absent. */
  readonly attentions?: readonly E2eAttention[] | undefined;
  readonly model: E2eModel;
  readonly weights: string;
  readonly lengths: readonly number[];
  readonly backend: string;
  readonly threads?: number | undefined;
  readonly decodeTokens: number;
  readonly runs: number;
  readonly seed: number;
  /** Whether each measurement gets a process of its own; only then is its peak memory known. */
  readonly apart: boolean;
}

/** llama.cpp has two ways to attend densely, and which is faster depends on the machine: both are measured. */
const ways: Readonly<Record<Engine, readonly E2eAttention[]>> = {
  infllm: ["dense", "sparse"],
  "node-llama-cpp": ["dense", "flash"],
};

export function e2eCells(plan: E2ePlan): Cell[] {
  const { model, weights, backend, threads, decodeTokens, runs, seed, apart } = plan;
  const config: Figures = { weights, decodeTokens, runs, apart, threads: threads ?? null, layers: model.kind === "synthetic" ? model.layers : null };
  return plan.lengths.flatMap((length) =>
    plan.engines.flatMap((engine) =>
      ways[engine].filter((way) => plan.attentions?.includes(way) ?? true).map((attention): Cell => {
        const spec: E2eSpec = { engine, attention, model, backend, threads, length, decodeTokens, runs, seed };
        return { cell: { engine, attention, length }, config, run: async (context) => figuresOf(await measured(spec, apart, context), spec) };
      }),
    ),
  );
}

function measured(spec: E2eSpec, apart: boolean, { signal, progress }: CellContext): Promise<E2eFigures> {
  const onProgress = (label: string, done: number, total: number): void => progress(label, done, total);
  return apart ? measureApart(spec, onProgress, signal) : measureHere(spec, onProgress);
}

function figuresOf(found: E2eFigures, { length, decodeTokens }: E2eSpec): Figures {
  const [prefill, decode] = [summary(found.prefillSeconds), summary(found.decodeSeconds)];
  return {
    prefillSeconds: prefill.median,
    prefillTokensPerSecond: length / prefill.median,
    prefillCpuSeconds: summary(found.prefillCpuSeconds).median,
    decodeTokensPerSecond: decodeTokens / decode.median,
    prefillRuns: found.prefillSeconds,
    decodeRuns: found.decodeSeconds,
    ...(found.peakBytes !== undefined && { peakBytes: found.peakBytes }),
    ...(found.kvBytes !== undefined && { kvBytes: found.kvBytes }),
    tokens: found.tokens.slice(0, 16),
    device: found.device,
  };
}
