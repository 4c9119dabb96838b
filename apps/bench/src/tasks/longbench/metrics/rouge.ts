/** ROUGE-L over a whole summary, with the definitions of the Python package `rouge` 1.0.1 that LongBench calls. */
import { segment } from "./chinese.ts";

/**
 * F-measure (beta 1) of union longest common subsequences: sentences end at each `.`, and every *different* word counts
 * once, in the common subsequences as well as in the lengths. 0 when either side has no sentence.
 */
export function rougeL(output: string, answer: string): number {
  const outputs = sentences(output);
  const answers = sentences(answer);
  if (outputs.length === 0 || answers.length === 0) return 0;
  const common = new Set<string>();
  for (const reference of answers) {
    for (const sentence of outputs) for (const word of commonSubsequence(reference, sentence)) common.add(word);
  }
  const recall = common.size / new Set(answers.flat()).size;
  const precision = common.size / new Set(outputs.flat()).size;
  return (2 * precision * recall) / (precision + recall + 1e-8);
}

/** ROUGE-L over the words that jieba cuts. */
export async function rougeLChinese(output: string, answer: string): Promise<number> {
  return rougeL((await segment(output)).join(" "), (await segment(answer)).join(" "));
}

/** Words of every sentence. A sentence of nothing but spaces is one empty word, as in the package. */
function sentences(text: string): string[][] {
  return text
    .split(".")
    .filter((sentence) => sentence !== "")
    .map((sentence) => sentence.trim().split(/\s+/));
}

/** Words of a longest common subsequence. Of several, the one found from the end, going back in `b` on a tie. */
function commonSubsequence(a: readonly string[], b: readonly string[]): string[] {
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      lengths[i * width + j] = a[i - 1] === b[j - 1] ? at(i - 1, j - 1) + 1 : Math.max(at(i - 1, j), at(i, j - 1));
    }
  }
  const words: string[] = [];
  for (let i = a.length, j = b.length; i > 0 && j > 0; ) {
    const word = a[i - 1];
    if (word !== undefined && word === b[j - 1]) {
      words.push(word);
      i--;
      j--;
    } else if (at(i - 1, j) > at(i, j - 1)) i--;
    else j--;
  }
  return words;
}
