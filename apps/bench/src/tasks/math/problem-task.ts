/** Problems with one final answer: the model reasons freely and puts it into `\boxed{}`. */
import { ShapeError } from "@infllm/tensor";
import { chooseRows } from "../data/choose.ts";
import { readData } from "../data/files.ts";
import type { DataFile } from "../data/files.ts";
import { parseJsonLines } from "../data/row.ts";
import type { Row } from "../data/row.ts";
import { checkedLength, requireIndex, requireStyle } from "../synthetic/synthetic.ts";
import { meanScore, promptIds } from "../task.ts";
import type { Facts, GenerationSample, GenerationTask, Score, TaskPrompt, TaskTokenizer } from "../task.ts";
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
    aggregate: meanScore,
    async open(options) {
      const length = checkedLength(name, options);
      requireStyle({ name, styles }, options.style);
      const { text, path, source } = await readData(file, options.data);
      const problems = parseJsonLines(text, path).map((row, number) => task.problemOf(row, number));
      const chosen = chooseRows(name, problems.length, options.count, options.seed);
      return {
        count: chosen.length,
        source,
        at(index) {
          requireIndex(name, index, chosen.length);
          return sampleOf(task, problems[chosen[index] as number] as Problem, options.tokenizer, length);
        },
      };
    },
    score: boxedAnswer,
  };
}

function sampleOf(task: ProblemTask, { id, problem, answer, facts }: Problem, tokenizer: TaskTokenizer, length: number): GenerationSample {
  const text = `${problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.`;
  const prompt: TaskPrompt = { form: "chat", text };
  const promptTokens = promptIds(tokenizer, prompt).length;
  const maxTokens = roomForAnswer(task.name, id, promptTokens, length, task.maxTokens);
  return { id, prompt, maxTokens, stop: [], expected: [answer], facts: { ...facts, promptTokens } };
}

/** Tokens that an answer may have. @throws ShapeError when the prompt leaves none */
export function roomForAnswer(name: string, id: string, promptTokens: number, length: number, most: number): number {
  if (promptTokens >= length) {
    throw new ShapeError(`${name} ${id} has ${promptTokens} tokens, which leave no room for an answer within ${length}. Give a larger length.`);
  }
  return Math.min(most, length - promptTokens);
}

function boxedAnswer({ expected }: GenerationSample, output: string): Score {
  const answer = lastBoxed(output);
  const right = answer !== undefined && expected.some((one) => sameAnswer(answer, one));
  return { value: right ? 1 : 0, details: { answer: answer ?? null } };
}
