import { FormatError, NotAvailableError, UnsupportedError } from "@infllm/tensor";
import type { JsonObject } from "../config/options.ts";
import type { GgufFile } from "../formats/gguf.ts";
import { preTokenizer } from "./gguf-pre-tokenizer.ts";
import { mergesFromScores } from "./spm-merges.ts";
import type { TokenizerFiles } from "./tokenizer.ts";

/** `tokenizer.ggml.token_type`: control tokens are special, user-defined ones are matched before splitting. */
const CONTROL = 3;
const USER_DEFINED = 4;
const UNKNOWN = 2;

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/**
 * Builds the tokenizer inside a GGUF file: `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE).
 * @throws NotAvailableError (none inside), UnsupportedError (another kind), FormatError (damaged)
 */
export function tokenizerFromGguf(gguf: GgufFile): TokenizerFiles {
  const kind = gguf.string("tokenizer.ggml.model");
  const tokens = gguf.strings("tokenizer.ggml.tokens");
  if (kind === undefined || tokens === undefined) {
    throw new NotAvailableError(
      `${gguf.name} has no tokenizer inside (tokenizer.ggml.model, tokenizer.ggml.tokens); use a file that was converted with its tokenizer.`,
    );
  }
  const types = gguf.numbers("tokenizer.ggml.token_type") ?? tokens.map(() => 1);
  if (types.length !== tokens.length) {
    throw new FormatError(`${gguf.name} has ${tokens.length} tokens but ${types.length} token types; both must be equally many.`);
  }
  const vocabulary = { tokens, types };
  const tokenizer = build(gguf, kind, vocabulary);
  const chatTemplate = gguf.string("tokenizer.chat_template");
  return { tokenizer, config: config(gguf, kind, tokens), ...(chatTemplate === undefined ? {} : { chatTemplate }) };
}

function build(gguf: GgufFile, kind: string, vocabulary: Vocabulary): JsonObject {
  switch (kind) {
    case "gpt2":
      return byteLevelBpe(gguf, vocabulary);
    case "llama":
      return sentencePieceBpe(gguf, vocabulary);
    default:
      throw new UnsupportedError(`${gguf.name} has a tokenizer of kind "${kind}"; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE).`);
  }
}

function byteLevelBpe(gguf: GgufFile, vocabulary: Vocabulary): JsonObject {
  const merges = gguf.strings("tokenizer.ggml.merges");
  if (merges === undefined) {
    throw new FormatError(`${gguf.name} has a gpt2 tokenizer without merges (tokenizer.ggml.merges).`);
  }
  const split = preTokenizer(gguf.string("tokenizer.ggml.pre"), gguf.name);
  return {
    version: "1.0",
    added_tokens: addedTokens(vocabulary),
    normalizer: split.normalizer ?? null,
    pre_tokenizer: split.preTokenizer,
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      vocab: ids(vocabulary),
      merges: merges.map((merge) => splitMerge(merge)),
      byte_fallback: false,
      ignore_merges: split.ignoreMerges,
    },
  };
}

/** Two pieces with a space between; byte-level pieces contain none. */
function splitMerge(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function sentencePieceBpe(gguf: GgufFile, vocabulary: Vocabulary): JsonObject {
  const scores = gguf.numbers("tokenizer.ggml.scores");
  if (scores === undefined || scores.length !== vocabulary.tokens.length) {
    throw new FormatError(`${gguf.name} has a llama tokenizer with ${scores?.length ?? "no"} scores for ${vocabulary.tokens.length} tokens.`);
  }
  const prefix = gguf.boolean("tokenizer.ggml.add_space_prefix") ?? true;
  const unknown = vocabulary.tokens[vocabulary.types.indexOf(UNKNOWN)];
  return {
    version: "1.0",
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: "Sequence",
      normalizers: [
        ...(prefix ? [{ type: "Prepend", prepend: "▁" }] : []),
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
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: ids(vocabulary),
      merges: mergesFromScores(vocabulary.tokens, scores),
    },
  };
}

function ids({ tokens }: Vocabulary): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function addedTokens({ tokens, types }: Vocabulary): JsonObject[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    if (type !== CONTROL && type !== USER_DEFINED && type !== UNKNOWN) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: type !== USER_DEFINED }];
  });
}

function config(gguf: GgufFile, kind: string, tokens: readonly string[]): JsonObject {
  const token = (name: string) => {
    const id = gguf.number(`tokenizer.ggml.${name}_token_id`);
    return id === undefined ? undefined : tokens[id];
  };
  const bos = token("bos");
  const eos = token("eos");
  // llama.cpp's own defaults where a file is silent: SentencePiece models and Llama 3 start with BOS.
  const byDefault = kind === "llama" || /^(llama-bpe|llama3|llama-v3)$/.test(gguf.string("tokenizer.ggml.pre") ?? "");
  return {
    ...(bos === undefined ? {} : { bos_token: bos }),
    ...(eos === undefined ? {} : { eos_token: eos }),
    add_bos_token: gguf.boolean("tokenizer.ggml.add_bos_token") ?? byDefault,
    clean_up_tokenization_spaces: false,
  };
}
