/** Problems with one final answer: the model reasons freely and puts it into `\boxed{}`. */
import { roomForAnswer } from "../checks.ts";
import { readRows, rowSamples } from "../data/row-samples.ts";
import type { Row } from "../data/row.ts";
import { meanScore, promptIds } from "../task.ts";
import type { DataFile, Facts, GenerationSample, GenerationTask, Score, TaskPrompt, TaskTokenizer } from "../task.ts";
import { lastBoxed } from "./boxed.ts";
import { sameAnswer } from "./same-answer.ts";

export interface Problem {
  readonly id: string;
  readonly problem: string;
  readonly answer: string;
  readonly facts: Facts;
}

export interface ProblemTask {
  readonly name: string;
  readonly title: string;
  readonly file: DataFile;
  /** Most tokens of a solution; fewer when the length leaves fewer. */
  readonly maxTokens: number;
  /** @param number of the row, for data without ids */
  problemOf(row: Row, number: number): Problem;
}

const styles = ["benchmark"] as const;

export function problemTask(task: ProblemTask): GenerationTask {
  const { name, title, file } = task;
  return {
    kind: "generation",
    name,
    family: "reasoning",
    title,
    metric: "accuracy of boxed answers",
    styles,
    reads: file,
    aggregate: meanScore,
    open(options) {
      const load = () => readRows(file, options.data, (row, number) => task.problemOf(row, number));
      return rowSamples({ name, styles }, options, load, (problem, _, length) => sampleOf(task, problem, options.tokenizer, length));
    },
    score: boxedAnswer,
  };
}

function sampleOf(task: ProblemTask, { id, problem, answer, facts }: Problem, tokenizer: TaskTokenizer, length: number): GenerationSample {
  const text = `${problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.`;
  const prompt: TaskPrompt = { form: "chat", text };
  const promptTokens = promptIds(tokenizer, prompt).length;
  const maxTokens = roomForAnswer(task, id, promptTokens, length, task.maxTokens);
  return { id, prompt, maxTokens, stop: [], expected: [answer], facts: { ...facts, promptTokens } };
}

function boxedAnswer({ expected }: GenerationSample, output: string): Score {
  const answer = lastBoxed(output);
  const right = answer !== undefined && expected.some((one) => sameAnswer(answer, one));
  return { value: right ? 1 : 0, details: { answer: answer ?? null } };
}
