/** Lets a model do the samples of one task and scores its answers. */
import type { Model } from "@infllm/model";
import type { Figures } from "../results/record.ts";
import type { CellContext } from "../results/run-cells.ts";
import { promptIds, type ChoiceSample, type ChoiceTask, type GenerationSample, type GenerationTask, type Score, type Task, type TaskOptions } from "../tasks/task.ts";

export interface TaskRun {
  readonly model: Model;
  readonly task: Task;
  readonly options: Omit<TaskOptions, "tokenizer" | "contextLength">;
  /** Answers that are programs may run although nothing keeps them from the network. */
  readonly allowNetwork?: boolean | undefined;
  /** Answers end after so many tokens, also where the task would allow more. */
  readonly maxAnswer?: number | undefined;
}

/** Characters of an answer that results keep: enough to see what went wrong. */
const keptCharacters = 160;

/** The task's figure, and every sample with what the model said. */
export async function scoreTask(run: TaskRun, context: CellContext): Promise<Figures> {
  const { model, task, options } = run;
  const { tokenizer, contextLength } = model;
  const opening = { ...options, tokenizer, contextLength };
  const scored = task.kind === "generation"
    ? await scoreSamples(await task.open(opening), context, (sample) => answer(run, task, sample, context))
    : await scoreSamples(await task.open(opening), context, (sample) => choose(model, task, sample, context));
  return {
    score: task.aggregate(scored.answers),
    metric: task.metric,
    samples: scored.answers.length,
    source: scored.source,
    answers: scored.answers.map(({ id, value, facts, said }) => ({ id, value, facts, said: said.slice(0, keptCharacters) })),
  };
}

interface Answer extends Pick<GenerationSample, "id" | "facts"> {
  readonly value: number;
  readonly said: string;
}

async function scoreSamples<S extends GenerationSample | ChoiceSample>(
  samples: { readonly count: number; readonly source: string; at(index: number): S },
  { progress, signal }: CellContext,
  one: (sample: S) => Promise<Score & { readonly said: string }>,
): Promise<{ readonly answers: Answer[]; readonly source: string }> {
  const answers: Answer[] = [];
  for (let index = 0; index < samples.count; index++) {
    signal.throwIfAborted();
    const sample = samples.at(index);
    const { value, said } = await one(sample);
    answers.push({ id: sample.id, facts: sample.facts, value, said });
    progress("", index + 1, samples.count, "samples");
  }
  return { answers, source: samples.source };
}

async function answer(
  { model, allowNetwork = false, maxAnswer = Infinity }: TaskRun,
  task: GenerationTask,
  sample: GenerationSample,
  { signal }: CellContext,
): Promise<Score & { readonly said: string }> {
  const ids = promptIds(model.tokenizer, sample.prompt);
  const maxTokens = Math.min(sample.maxTokens, maxAnswer);
  let said = "";
  for await (const piece of model.generate(ids, { maxTokens, stop: sample.stop, temperature: 0, signal })) said += piece;
  return { ...(await task.score(sample, said, { signal, allowNetwork })), said };
}

/** Log-likelihood of every choice behind the same prompt, which is read once. */
async function choose(
  model: Model,
  task: ChoiceTask,
  sample: ChoiceSample,
  { signal }: CellContext,
): Promise<Score & { readonly said: string }> {
  const prompt = promptIds(model.tokenizer, sample.prompt);
  const session = model.createSession();
  const logProbs: number[] = [];
  for (const choice of sample.choices) {
    const ids = [...prompt, ...model.tokenizer.encode(choice, { special: false })];
    const positions = Array.from({ length: ids.length - prompt.length }, (_, i) => prompt.length - 1 + i);
    const scores = await session.score(ids, { positions, signal });
    logProbs.push(scores.logProbs.reduce((sum, each) => sum + each, 0));
  }
  const best = logProbs.indexOf(Math.max(...logProbs));
  return { ...task.score(sample, logProbs), said: sample.choices[best] ?? "" };
}
