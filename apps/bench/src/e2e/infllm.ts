/** Times a model of this project. */
import { openBackend } from "@infllm/command";
import { loadModel, type GenerateStats, type Model } from "@infllm/model";
import { shapeNamed } from "../shapes.ts";
import { cpuSeconds, timedPrompt } from "./prompt.ts";
import type { E2eFigures, E2eSpec } from "./spec.ts";
import { syntheticModel } from "./synthetic-model.ts";

/** Tokens that both kinds of step run on before anything is timed, so that code is compiled. */
const warmUpTokens = 600;

export async function timeInfllm(spec: E2eSpec, onProgress: (label: string, done: number, total: number) => void): Promise<E2eFigures> {
  const { length, decodeTokens, runs } = spec;
  const backend = await openBackend(spec.backend, { threads: spec.threads });
  try {
    const contextLength = length + decodeTokens + 1;
    const { model: from } = spec;
    const source = from.kind === "source" ? from.source : syntheticModel(shapeNamed(from.shape), contextLength, from.layers === undefined ? {} : { layers: from.layers });
    const model = await loadModel(source, { backend, contextLength });
    try {
      const { vocabulary } = model.config;
      await answer(model, timedPrompt(Math.min(warmUpTokens, length), vocabulary, spec.seed), spec, 4, () => {});
      const ids = timedPrompt(length, vocabulary, spec.seed);
      const stats: Answer[] = [];
      for (let run = 0; run < runs; run++) {
        stats.push(await answer(model, ids, spec, decodeTokens + 1, (done, total) => onProgress(`run ${run + 1} of ${runs}`, done, total)));
      }
      return {
        prefillCpuSeconds: stats.map(({ prefillCpuSeconds }) => prefillCpuSeconds),
        prefillSeconds: stats.map(({ prefillSeconds }) => prefillSeconds),
        decodeSeconds: stats.map(({ decodeSeconds }) => decodeSeconds),
        kvBytes: model.cacheBytes,
        tokens: stats[0]?.tokens ?? [],
        device: backend.capabilities.description,
      };
    } finally {
      await model.close();
    }
  } finally {
    await backend.close();
  }
}

type Answer = GenerateStats & { readonly prefillCpuSeconds: number };

async function answer(
  model: Model,
  ids: readonly number[],
  { attention, seed }: E2eSpec,
  maxTokens: number,
  onPrefill: (done: number, total: number) => void,
): Promise<Answer> {
  const before = cpuSeconds();
  let finished: GenerateStats | undefined;
  const pieces = model.generate(ids, {
    attention: attention === "sparse" ? "sparse" : "dense",
    maxTokens,
    temperature: 0,
    ignoreEos: true,
    seed,
    onPrefill: ({ processed, total }) => onPrefill(processed, total),
    onFinish: (stats) => (finished = stats),
  });
  const iterator = pieces[Symbol.asyncIterator]();
  let more = !(await iterator.next()).done;
  const prefillCpuSeconds = cpuSeconds() - before;
  while (more) more = !(await iterator.next()).done;
  if (finished === undefined || finished.generatedTokens !== maxTokens) throw new Error("The model stopped early; nothing was timed.");
  return { ...finished, prefillCpuSeconds };
}
