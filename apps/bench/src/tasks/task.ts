/**
 * What a task is. A runner opens a task once for a tokenizer, length and seed, takes its samples by number in any order
 * (so an interrupted run goes on where it stopped), lets a model answer and hands the answer back for its score:
 *
 *     const task = findTask("niah_single_1");
 *     const samples = await task.open({ tokenizer, contextLength: 16384, length: 4096, count: 50, seed: 1 });
 *     const sample = samples.at(0);
 *     const ids = promptIds(tokenizer, sample.prompt);        // generate at most sample.maxTokens after these
 *     const { value } = await task.score(sample, output, {}); // 0 to 1
 */
import type { Tokenizer } from "@infllm/model";

/** What tasks need of a tokenizer; every `Tokenizer` of `@infllm/model` is one. */
export type TaskTokenizer = Pick<Tokenizer, "encode" | "decode" | "encodeChat" | "hasChatTemplate">;

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
/** Facts of a sample or a score that results keep, such as a needle's depth. */
export type Facts = { readonly [key: string]: Json };

/** What the model reads, and how its answer begins. */
export interface TaskPrompt {
  readonly text: string;
  /** `chat`: the text is a user's message where the model has a chat template, else plain. `plain`: never a message. */
  readonly form: "chat" | "plain";
  /** Start of the answer, given to the model; outputs begin behind it. */
  readonly answerPrefix?: string;
}

/** Facts that every kind of sample has. */
interface SampleBase {
  /** Names the sample within its task, the same for every method and run: `4096/1/0` or the data's own id. */
  readonly id: string;
  readonly prompt: TaskPrompt;
  readonly facts: Facts;
}

/** A prompt that the model continues, greedily, by at most `maxTokens` tokens. */
export interface GenerationSample extends SampleBase {
  readonly maxTokens: number;
  /** The answer ends before the first of these. */
  readonly stop: readonly string[];
  /** What is right, in the form that the task's score reads. */
  readonly expected: readonly string[];
}

/** A prompt with a few continuations, of which the likeliest counts as the model's answer. */
export interface ChoiceSample extends SampleBase {
  /** Continuations of the prompt (behind `answerPrefix`), leading space included. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly answer: number;
}

/** Where a task's data comes from: the small sample in this package, or a user's file or folder. */
export type DataSource = { readonly kind: "fixture" } | { readonly kind: "path"; readonly path: string };

/** Wording of synthetic prompts: the benchmark's own, or the only one that the embedded tiny model was trained on. */
export const promptStyles = ["benchmark", "tiny"] as const;
export type PromptStyle = (typeof promptStyles)[number];

/** What a task reads, for messages to people who do not have it yet. */
export interface DataFile {
  readonly task: string;
  /** Names under which the file may lie in a folder of data, the usual one first. */
  readonly names: readonly string[];
  /** Name below `fixtures/`. */
  readonly fixture: string;
  /** Where to get it: an address or a data set's name. */
  readonly from: string;
  /** The fields that every row needs. */
  readonly fields: string;
}

export interface TaskOptions {
  readonly tokenizer: TaskTokenizer;
  /** Tokens that the model can hold, prompt and answer together. */
  readonly contextLength: number;
  /**
   * Tokens of prompt and answer together: what synthetic tasks fill, and where tasks with long data cut the middle out.
   * `contextLength` when absent.
   */
  readonly length?: number;
  /** Samples wanted; data with fewer gives all it has. */
  readonly count: number;
  /** Number of the first of them; 0 when absent. Parts of one seed's samples are what one run would make of all. */
  readonly first?: number;
  readonly seed: number;
  readonly data?: DataSource;
  /** Text in which synthetic tasks of prose hide their needles; a public-domain book when absent. */
  readonly haystack?: string;
  /** One of the task's `styles`; `benchmark` when absent. */
  readonly style?: PromptStyle;
  /** Where the `needle` task hides its needle, 0 (start) to 1 (end); samples take turns. Eleven even steps when absent. */
  readonly depths?: readonly number[];
}

/** A task's samples, made when asked for. The same options give the same samples. */
export interface Samples<S> {
  readonly count: number;
  /** @throws RangeError outside `[0, count)`; ShapeError when the sample does not fit the length */
  at(index: number): S;
  /** `generated`, `fixture`, or the file read. Reports must tell figures on fixtures from figures on the data. */
  readonly source: string;
}

/** How good an answer is, 0 to 1, and what was compared. */
export interface Score {
  readonly value: number;
  readonly details: Facts;
}

/** Limits and permissions for answers that are programs. */
export interface ScoreOptions {
  readonly signal?: AbortSignal;
  /** Run programs although nothing keeps them from the network. Off by default: such runs are refused. */
  readonly allowNetwork?: boolean;
}

interface TaskBase<S> {
  /** Unique name, as given on the command line. */
  readonly name: string;
  /** `ruler`, `needle`, `longbench`, …: a name for several tasks. */
  readonly family: string;
  /** One line for `--help` and reports. */
  readonly title: string;
  /** Wordings that the task has: all have `benchmark`. */
  readonly styles: readonly PromptStyle[];
  /** Undefined where samples are made up. */
  readonly reads?: DataFile;
  /** Name of the figure, e.g. `string match (all)`, `F1`, `accuracy`, `pass@1`. */
  readonly metric: string;
  /**
   * @throws ShapeError when `length` exceeds `contextLength` or cannot hold the task; ConfigError on a style that it
   *   lacks; NotAvailableError without its data (says where to get it); FormatError on malformed data
   *   (says file, line and field)
   */
  open(options: TaskOptions): Promise<Samples<S>>;
  /** The task's figure, 0 to 100, from the scores of any subset of its samples. NaN of none. */
  aggregate(scored: readonly Scored[]): number;
}

/** A score with the facts of its sample: data sets average by subject. */
export interface Scored {
  readonly facts: Facts;
  readonly value: number;
}

export interface GenerationTask extends TaskBase<GenerationSample> {
  readonly kind: "generation";
  /** @param output what the model wrote behind the prompt and its answer prefix */
  score(sample: GenerationSample, output: string, options: ScoreOptions): Score | Promise<Score>;
}

export interface ChoiceTask extends TaskBase<ChoiceSample> {
  readonly kind: "choice";
  /** @param logProbs natural log-likelihood of every choice after the prompt, summed over its tokens */
  score(sample: ChoiceSample, logProbs: readonly number[]): Score;
}

export type Task = GenerationTask | ChoiceTask;

/** Token ids of a prompt, answer prefix included, as a model reads them. */
export function promptIds(tokenizer: TaskTokenizer, prompt: TaskPrompt): number[] {
  const prefix = prompt.answerPrefix ?? "";
  if (prompt.form === "plain" || !tokenizer.hasChatTemplate) return tokenizer.encode(prompt.text + prefix);
  const ids = tokenizer.encodeChat([{ role: "user", content: prompt.text }]);
  return prefix === "" ? ids : [...ids, ...tokenizer.encode(prefix, { special: false })];
}

/**
 * Token ids of a choice behind its prompt. Where prompt and choice are one text, they are tokenized as one, so that a
 * tokenizer that joins a space to the next word does so here.
 */
export function choiceIds(tokenizer: TaskTokenizer, prompt: TaskPrompt, choice: string): number[] {
  const before = promptIds(tokenizer, prompt);
  const whole = promptIds(tokenizer, { ...prompt, answerPrefix: (prompt.answerPrefix ?? "") + choice });
  const joined = before.every((id, at) => whole[at] === id) && whole.length > before.length;
  return joined ? whole.slice(before.length) : tokenizer.encode(choice, { special: false });
}

/** Mean of all scores, 0 to 100. */
export function meanScore(scored: readonly Scored[]): number {
  return (100 * scored.reduce((sum, { value }) => sum + value, 0)) / scored.length;
}

/** Mean of the subjects' means, 0 to 100: small subjects weigh as much as large ones. */
export function meanOfSubjects(scored: readonly Scored[]): number {
  const subjects = new Map<Json | undefined, Scored[]>();
  for (const one of scored) {
    const subject = one.facts["subject"];
    subjects.set(subject, [...(subjects.get(subject) ?? []), one]);
  }
  return [...subjects.values()].reduce((sum, of) => sum + meanScore(of), 0) / subjects.size;
}
