/** SQuAD's F1 over words, as LongBench uses it for questions. */
import { segment } from "./chinese.ts";

/** Harmonic mean of precision and recall of words; case, ASCII punctuation and English articles do not count. */
export function f1(output: string, answer: string): number {
  return f1OfTokens(normalizedWords(output), normalizedWords(answer));
}

/** F1 over the words that jieba cuts; punctuation of both scripts does not count. */
export async function f1Chinese(output: string, answer: string): Promise<number> {
  return f1OfTokens(await chineseTokens(output), await chineseTokens(answer));
}

/** Bags of tokens: each occurrence counts once. 0 when either side is empty or nothing is common. */
export function f1OfTokens(output: readonly string[], answer: readonly string[]): number {
  const left = new Map<string, number>();
  for (const token of answer) left.set(token, (left.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of output) {
    const count = left.get(token) ?? 0;
    if (count > 0) {
      common++;
      left.set(token, count - 1);
    }
  }
  if (common === 0) return 0;
  const precision = common / output.length;
  const recall = common / answer.length;
  return (2 * precision * recall) / (precision + recall);
}

const asciiPunctuation = /[!-/:-@[-`{-~]/g;
const chinesePunctuation = /[！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏]/g;

function normalizedWords(text: string): string[] {
  const plain = text.toLowerCase().replace(asciiPunctuation, "").replace(/\b(?:a|an|the)\b/g, " ");
  return plain.split(/\s+/).filter((word) => word !== "");
}

async function chineseTokens(text: string): Promise<string[]> {
  const tokens = await segment(text);
  return tokens
    .map((token) => token.toLowerCase().replace(asciiPunctuation, "").replace(chinesePunctuation, "").replace(/\s/g, ""))
    .filter((token) => token !== "");
}
