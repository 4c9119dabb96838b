/** RULER's common words extraction: ten words appear more often than the rest of a numbered list (paper, section 3.3). */
import type { Random } from "@infllm/tensor";
import { checkedLength } from "../checks.ts";
import { distinct, sample, shuffled } from "../synthetic/draw.ts";
import { syntheticSamples } from "../synthetic/synthetic.ts";
import type { Draft } from "../synthetic/synthetic.ts";
import { compoundWord, listedWords, manyWords } from "../synthetic/words.ts";
import { meanScore } from "../task.ts";
import type { GenerationTask } from "../task.ts";
import { matchAll } from "./score.ts";
import { commonWords as wording } from "./templates.ts";

const task = { name: "cwe", maxTokens: 120, styles: ["benchmark"] } as const;
const common = 10;

/** How often a list has its common words and its other ones. */
interface Repeats {
  readonly common: number;
  readonly others: number;
}

export const commonWords: GenerationTask = {
  kind: "generation",
  name: task.name,
  family: "ruler",
  title: "The ten commonest words of a list",
  metric: "string match (all)",
  styles: task.styles,
  aggregate: meanScore,
  score: matchAll,
  async open(options) {
    const many = await manyWords();
    const short = checkedLength(task, options) < 4096;
    return syntheticSamples(task, options, (from) => draft(from, many, short));
  },
};

/** @param short RULER repeats words less below 4096 tokens, and shows a shorter example */
function draft(from: Random, many: readonly string[], short: boolean): Draft {
  const repeats: Repeats = short ? { common: 6, others: 1 } : { common: 30, others: 3 };
  const exampleWords = sample(from, listedWords, short ? 20 : 40);
  const example = numberedList(from, exampleWords, short ? { common: 3, others: 1 } : { common: 10, others: 3 });
  const answer = exampleWords.slice(0, common).map((word, at) => `${at + 1}. ${word}`);
  const shown = `${wording.text(example)}${wording.answerPrefix} ${answer.join(" ")}`;
  const expected = sample(from, listedWords, common);
  return {
    expected,
    minimum: common,
    prompt: (size, layout) => ({
      form: "chat",
      text: `${shown}\n${wording.text(numberedList(layout, [...expected, ...others(layout, many, expected, size - common)], repeats))}`,
      answerPrefix: wording.answerPrefix,
    }),
  };
}

/** The first ten words and the others, each as often as its kind, in random order with numbers before them. */
function numberedList(from: Random, words: readonly string[], repeats: Repeats): string {
  const entries = words.flatMap((word, at) => Array.from({ length: at < common ? repeats.common : repeats.others }, () => word));
  return shuffled(from, entries)
    .map((word, at) => `${at + 1}. ${word}`)
    .join(" ");
}

/** Words beside the common ones: of the list, of a larger one when it has too few, or compounds of two. */
function others(from: Random, many: readonly string[], taken: readonly string[], count: number): string[] {
  const free = (words: readonly string[]): string[] => words.filter((word) => !taken.includes(word));
  if (count <= listedWords.length - taken.length) return sample(from, free(listedWords), count);
  if (count <= many.length - taken.length) return sample(from, free(many), count);
  return distinct(count, () => compoundWord(from));
}
