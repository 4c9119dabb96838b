/** Small BPE tokenizers trained on a text without splitting it, so that every rule about splitting shows. */
import { preTokenizer } from "../../src/tokenizer/gguf-pre-tokenizer.ts";
import { byteTokenizer, byteTokenizerConfig, tokens as byteTokens } from "./byte-tokenizer.ts";

/** The `count` merges that shorten `symbols` most, one after the other. */
function trainMerges(symbols: string[], count: number): [string, string][] {
  const merges: [string, string][] = [];
  let current = symbols;
  while (merges.length < count) {
    const counts = new Map<string, number>();
    for (const [i, left] of current.slice(0, -1).entries()) {
      const pair = `${left} ${current[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    const [best] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (best === undefined || best[1] < 2) break;
    const [left = "", right = ""] = best[0].split(" ");
    merges.push([left, right]);
    current = merged(current, left, right);
  }
  return merges;
}

function merged(symbols: readonly string[], left: string, right: string): string[] {
  const result: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const joins = symbols[i] === left && symbols[i + 1] === right;
    result.push(joins ? left + right : (symbols[i] ?? ""));
    if (joins) i++;
  }
  return result;
}

export interface TrainedTokenizer {
  readonly tokenizer: object;
  readonly config: object;
  readonly vocabulary: number;
}

/** Byte-level BPE that splits by the rule of this name. */
export function byteLevelTokenizer(rule: string, text: string, count: number): TrainedTokenizer {
  const symbols = [...new TextEncoder().encode(text)].map((byte) => byteTokens[4 + byte] ?? "");
  const merges = trainMerges(symbols, count);
  const tokens = [...new Set([...byteTokens, ...merges.map((pair) => pair.join(""))])];
  const { preTokenizer: pre_tokenizer, normalizer = null, ignoreMerges: ignore_merges } = preTokenizer(rule, "test");
  const model = { ...byteTokenizer.model, vocab: ids(tokens), merges, ignore_merges };
  return { tokenizer: { ...byteTokenizer, normalizer, pre_tokenizer, model }, config: byteTokenizerConfig, vocabulary: tokens.length };
}

/** SentencePiece BPE as Llama 2 has it: ▁ for spaces, one before the text, bytes for unknown characters. */
export function sentencePieceTokenizer(text: string, count: number): TrainedTokenizer {
  const symbols = [..."▁", ...text.replaceAll(" ", "▁")];
  const merges = trainMerges(symbols, count);
  const specials = ["<unk>", "<s>", "</s>"];
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = [...new Set([...specials, ...bytes, ...merges.map((pair) => pair.join("")), ...symbols])];
  const tokenizer = {
    version: "1.0",
    added_tokens: specials.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, ignore_merges: false, vocab: ids(tokens), merges },
  };
  const config = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", add_bos_token: true };
  return { tokenizer, config, vocabulary: tokens.length };
}

function ids(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** Words, contractions, numbers, runs of spaces and line ends, several alphabets; repeated so that merges form. */
export const trainingText = `I'll say it's John's, and they've 1234567 dogs; we're 12 or 345.  The  end!!\n\n  (Don't) stop... naïve café 北京 привет 🦙\n`.repeat(12);

export const probes = [
  "I'll say it's John's, and they've 1234567 dogs; we're 12 or 345.  The  end!!\n\n  (Don't) stop...",
  "HE'S SURE WE'LL GO, 12,345.67 and 89",
  "  two spaces,   three spaces\t\ttabs \n \n\nlines  ",
  "naïve café 北京 привет 🦙🦙 x² ½",
  "and they're the end; stop (it's 1234)!!\r\nagain",
];
