/** A test of knowledge: the model's answer is the letter with the highest likelihood behind worked examples. */
import { ShapeError } from "@infllm/tensor";
import { rowSamples } from "../data/row-samples.ts";
import { promptIds } from "../task.ts";
import type { ChoiceSample, ChoiceTask, Score, Scored, TaskPrompt, TaskTokenizer } from "../task.ts";
import { letters, readQuestions } from "./questions.ts";
import type { Question, QuestionFiles } from "./questions.ts";

export interface KnowledgeTask {
  readonly name: string;
  readonly title: string;
  readonly files: QuestionFiles;
  /** First line of a prompt. */
  heading(subject: string): string;
  /** A question up to where the letter follows. */
  ask(question: Question): string;
  /** What stands before a letter: a space or nothing. */
  readonly beforeLetter: string;
  aggregate(scored: readonly Scored[]): number;
}

/** Worked examples before a question, as the benchmarks' authors use. */
const shots = 5;
const styles = ["benchmark"] as const;

export function knowledgeTask(task: KnowledgeTask): ChoiceTask {
  const { name, title, files, aggregate } = task;
  return {
    kind: "choice",
    name,
    family: "knowledge",
    title,
    metric: "accuracy",
    styles,
    reads: files,
    aggregate,
    open(options) {
      const load = async () => {
        const { questions, examples, source } = await readQuestions(files, options.data);
        return { rows: questions.map((question) => ({ question, shown: (examples.get(question.subject) ?? []).slice(0, shots) })), source };
      };
      return rowSamples({ name, styles }, options, load, ({ question, shown }, number, length) =>
        sampleOf(task, question, shown, String(number), options.tokenizer, length),
      );
    },
    score: likeliest,
  };
}

/** The question with as many examples as fit: the authors drop the last ones for models with a short context. */
function sampleOf(task: KnowledgeTask, question: Question, examples: readonly Question[], id: string, tokenizer: TaskTokenizer, length: number): ChoiceSample {
  for (let count = examples.length; count >= 0; count--) {
    const prompt = promptOf(task, question, examples.slice(0, count));
    const promptTokens = promptIds(tokenizer, prompt).length;
    if (promptTokens >= length) continue;
    const choices = letters.map((letter) => task.beforeLetter + letter);
    return { id, prompt, choices, answer: question.answer, facts: { subject: question.subject, shots: count, promptTokens } };
  }
  throw new ShapeError(`Question ${id} of ${task.name} does not fit ${length} tokens, not even without examples. Give a larger length.`);
}

function promptOf(task: KnowledgeTask, question: Question, examples: readonly Question[]): TaskPrompt {
  const shown = examples.map((example) => `${task.ask(example)}${task.beforeLetter}${letters[example.answer]}\n\n`);
  return { form: "plain", text: task.heading(question.subject) + shown.join("") + task.ask(question) };
}

/** 1 when the right choice has the highest likelihood; of equal ones the first counts. */
function likeliest({ answer }: ChoiceSample, logProbs: readonly number[]): Score {
  const chosen = logProbs.indexOf(Math.max(...logProbs));
  return { value: chosen === answer ? 1 : 0, details: { chosen: letters[chosen] ?? "none", answer: letters[answer] ?? "none", logProbs } };
}
