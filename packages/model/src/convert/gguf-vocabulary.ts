import { FormatError, UnsupportedError } from "@infllm/tensor";
import { isJsonObject } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { ChatTemplate } from "../tokenizer/chat-template.ts";
import { preTokenizerName } from "../tokenizer/gguf-pre-tokenizer.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer.ts";
import { count, flag, text } from "./gguf-metadata.ts";
import type { Metadata } from "./gguf-metadata.ts";

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

/** A tokenizer as GGUF metadata. @throws UnsupportedError for kinds that GGUF readers would tokenize differently */
export function vocabularyMetadata(files: TokenizerFiles, config: ModelConfig): Metadata {
  const model = files.tokenizer["model"];
  if (!isJsonObject(model) || model["type"] !== "BPE" || !isJsonObject(model["vocab"])) {
    throw new UnsupportedError(
      `Tokenizers of the kind ${isJsonObject(model) ? String(model["type"]) : "(none)"} cannot be written into GGUF files; supported: BPE.`,
    );
  }
  const merges = mergesOf(model["merges"]);
  const { tokens, types } = tokenList(files.tokenizer, model, config.vocabulary);
  const isSentencePiece = model["byte_fallback"] === true;
  return [
    ["tokenizer.ggml.model", text(isSentencePiece ? "llama" : "gpt2")],
    ["tokenizer.ggml.pre", text(isSentencePiece ? "default" : preTokenizerName(files.tokenizer))],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: Int32Array.from(types) }],
    ...(isSentencePiece
      ? sentencePiece(files.tokenizer, tokens, merges)
      : ([["tokenizer.ggml.merges", { type: "array", of: "string", value: merges.map((pair) => pair.join(" ")) }]] as Metadata)),
    ...specials(files, config),
  ];
}

function mergesOf(value: unknown): [string, string][] {
  if (!Array.isArray(value)) throw new FormatError("tokenizer.json has a BPE model without a list of merges.");
  return value.map((merge: unknown) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string")) return pair as [string, string];
    throw new FormatError(`tokenizer.json has a merge that is no pair of tokens: ${JSON.stringify(merge)}.`);
  });
}

/** Every id's text and kind; ids of the embedding table without a token are filled up. */
function tokenList(tokenizer: JsonObject, model: JsonObject, vocabulary: number) {
  const tokens = Array.from({ length: vocabulary }, (_, id) => `[PAD${id}]`);
  const types = tokens.map(() => UNUSED);
  const set = (id: unknown, token: string, type: number) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabulary) {
      throw new FormatError(`tokenizer.json gives "${token}" the id ${String(id)}; the model has ids from 0 to ${vocabulary - 1}.`);
    }
    tokens[id] = token;
    types[id] = type;
  };
  const byteType = model["byte_fallback"] === true ? BYTE : NORMAL;
  for (const [token, id] of Object.entries(model["vocab"] as JsonObject)) {
    set(id, token, /^<0x[0-9A-F]{2}>$/.test(token) ? byteType : token === model["unk_token"] ? UNKNOWN : NORMAL);
  }
  const added = tokenizer["added_tokens"];
  for (const token of Array.isArray(added) ? added.filter(isJsonObject) : []) {
    const content = String(token["content"]);
    if (content === model["unk_token"]) continue;
    set(token["id"], content, token["special"] === true ? CONTROL : USER_DEFINED);
  }
  const firstId = new Map(tokens.map((token, id) => [token, id] as const).reverse());
  const twice = tokens.find((token, id) => firstId.get(token) !== id);
  if (twice !== undefined) {
    throw new FormatError(`tokenizer.json gives "${twice}" two ids; readers of GGUF files need one text for each id.`);
  }
  return { tokens, types };
}

/** SentencePiece readers join the pair whose union scores best: earlier merges get higher scores. */
function sentencePiece(tokenizer: JsonObject, tokens: readonly string[], merges: readonly [string, string][]): Metadata {
  const scores = new Map<string, number>();
  for (const [rank, [left, right]] of merges.entries()) {
    if (!scores.has(left + right)) scores.set(left + right, -rank);
  }
  const least = -merges.length - 1;
  return [
    ["tokenizer.ggml.scores", { type: "array", of: "f32", value: Float32Array.from(tokens, (token) => scores.get(token) ?? least) }],
    ["tokenizer.ggml.add_space_prefix", flag(JSON.stringify(tokenizer["normalizer"] ?? null).includes('"Prepend"'))],
  ];
}

function specials(files: TokenizerFiles, config: ModelConfig): Metadata {
  const tokenizer = new Tokenizer(files);
  const bos = tokenizer.bos?.id ?? config.bosId;
  const eos = tokenizer.eos?.id ?? config.eosIds[0];
  const eot = config.eosIds.find((id) => id !== eos);
  const template = files.chatTemplate ?? ChatTemplate.find(files.config["chat_template"]);
  return [
    ...(bos === undefined ? [] : [["tokenizer.ggml.bos_token_id", count(bos)] as const]),
    ...(eos === undefined ? [] : [["tokenizer.ggml.eos_token_id", count(eos)] as const]),
    ...(eot === undefined ? [] : [["tokenizer.ggml.eot_token_id", count(eot)] as const]),
    ["tokenizer.ggml.add_bos_token", flag(bos !== undefined && tokenizer.encode("a")[0] === bos)],
    ...(template === undefined ? [] : [["tokenizer.chat_template", text(template)] as const]),
  ] as Metadata;
}
