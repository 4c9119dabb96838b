/**
 * How byte-level BPE tokenizers split text before merging, by the names that GGUF files use (`tokenizer.ggml.pre`).
 * Files name a rule that their reader is expected to know; an unknown name cannot be guessed.
 */
import { UnsupportedError } from "@infllm/tensor";
import { isJsonObject } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";

export interface PreTokenizer {
  readonly preTokenizer: JsonObject;
  readonly normalizer?: JsonObject;
  /** Whether words that are tokens are taken whole, without merging. */
  readonly ignoreMerges: boolean;
}

/** GPT-2's rule, built into the byte-level step. */
const gpt2Split: JsonObject = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: true };
const bytesOnly: JsonObject = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };

const isolated = (regex: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

/** Contractions, words, numbers in groups as given, punctuation, line ends, spaces: the shape that Llama 3 and Qwen share. */
const words = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const sequence = (...pretokenizers: JsonObject[]): JsonObject => ({ type: "Sequence", pretokenizers });

const gpt2: PreTokenizer = { preTokenizer: gpt2Split, ignoreMerges: false };
const singleDigits: PreTokenizer = { preTokenizer: sequence(isolated("\\p{N}"), gpt2Split), ignoreMerges: false };
const llama3: PreTokenizer = { preTokenizer: sequence(isolated(words("{1,3}")), bytesOnly), ignoreMerges: true };
const qwen2: PreTokenizer = {
  preTokenizer: sequence(isolated(words("")), bytesOnly),
  normalizer: { type: "NFC" },
  ignoreMerges: false,
};

const rules: Readonly<Record<string, PreTokenizer>> = {
  "gpt-2": gpt2,
  smollm: singleDigits,
  starcoder: singleDigits,
  refact: singleDigits,
  "command-r": singleDigits,
  "llama-bpe": llama3,
  llama3,
  "llama-v3": llama3,
  qwen2,
  "deepseek-r1-qwen": qwen2,
};

/** @throws UnsupportedError listing the known names */
export function preTokenizer(name: string | undefined, file: string): PreTokenizer {
  const rule = name !== undefined && Object.hasOwn(rules, name) ? rules[name] : undefined;
  if (rule !== undefined) return rule;
  throw new UnsupportedError(
    `${file} splits text by the rule ${name === undefined ? "(tokenizer.ggml.pre is missing)" : `"${name}"`}, which is not known; ` +
      `known: ${Object.keys(rules).join(", ")}. Use the model's Hugging Face folder instead.`,
  );
}

/**
 * The name under which GGUF readers know how a `tokenizer.json` splits text: by the split patterns it lists.
 * @throws UnsupportedError when no known rule splits that way
 */
export function preTokenizerName(tokenizer: JsonObject): string {
  const splits = splitSteps(tokenizer["pre_tokenizer"]);
  for (const [name, rule] of Object.entries(rules)) {
    if (JSON.stringify(splitSteps(rule.preTokenizer)) === JSON.stringify(splits)) return name;
  }
  throw new UnsupportedError(
    `This tokenizer splits text in a way that GGUF has no name for here (${JSON.stringify(splits)}); known: ${Object.keys(rules).join(", ")}.`,
  );
}

/** Only what decides where text is split, in one notation. */
function splitSteps(step: unknown): string[] {
  if (!isJsonObject(step)) return [];
  switch (step["type"]) {
    case "Sequence":
      return Array.isArray(step["pretokenizers"]) ? step["pretokenizers"].flatMap(splitSteps) : [];
    case "Digits":
      return [step["individual_digits"] === true ? "\\p{N}" : "\\p{N}+"];
    case "Split":
      return [isJsonObject(step["pattern"]) ? String(step["pattern"]["Regex"] ?? step["pattern"]["String"]) : ""];
    case "ByteLevel":
      return [...(step["add_prefix_space"] === true ? ["prefix space"] : []), ...(step["use_regex"] === false ? [] : ["gpt-2"])];
    default:
      return [String(step["type"])];
  }
}
