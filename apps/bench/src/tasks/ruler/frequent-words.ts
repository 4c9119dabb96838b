/** RULER's frequent words extraction: coded words whose counts follow a zeta distribution (paper, section 3.3). */
import type { Random } from "@infllm/tensor";
import { checkedLength } from "../checks.ts";
import { distinct, shuffled } from "../synthetic/draw.ts";
import { syntheticSamples } from "../synthetic/synthetic.ts";
import type { Draft } from "../synthetic/synthetic.ts";
import { letters } from "../synthetic/words.ts";
import { meanScore } from "../task.ts";
import type { GenerationTask } from "../task.ts";
import { matchAll } from "./score.ts";
import { frequentWords as wording } from "./templates.ts";

const task = { name: "fwe", maxTokens: 50, styles: ["benchmark"] } as const;
/** The most frequent word, which is noise and no answer. */
const dots = "...";
const wordLength = 6;
/** RULER's vocabulary has one word for 50 tokens of the prompt; ranks above 4 are needed for three clear answers. */
const tokensPerWord = 50;
const leastVocabulary = 5;
/** From here on counts of ranks 2 to 5 differ: 0.152, 0.068, 0.038 and 0.024 of the size. */
const leastSize = 90;
/** ζ(2): with alpha = 2.0, rank k has the share k⁻² / ζ(2) of all words. */
const zetaOfTwo = Math.PI ** 2 / 6;

export const frequentWords: GenerationTask = {
  kind: "generation",
  name: task.name,
  family: "ruler",
  title: "The three most frequent words of a coded text (zeta, alpha 2.0)",
  metric: "string match (all)",
  styles: task.styles,
  aggregate: meanScore,
  score: matchAll,
  async open(options) {
    const vocabulary = Math.max(leastVocabulary, Math.floor((checkedLength(task, options) - task.maxTokens) / tokensPerWord));
    return syntheticSamples(task, options, (from) => draft(from, vocabulary));
  },
};

function draft(from: Random, vocabulary: number): Draft {
  const ranked = [dots, ...distinct(vocabulary - 1, () => letters(from, wordLength, "a"))];
  return {
    expected: ranked.slice(1, 4),
    minimum: leastSize,
    prompt(size, layout) {
      const words = ranked.flatMap((word, at) => Array.from({ length: occurrences(at + 1, size) }, () => word));
      return { form: "chat", text: wording.text(shuffled(layout, words).join(" ")), answerPrefix: wording.answerPrefix };
    },
  };
}

/** How often the word of a rank (1 = most frequent) occurs when the distribution is scaled to `size` words. */
function occurrences(rank: number, size: number): number {
  return Math.floor((size * rank ** -2) / zetaOfTwo);
}
