/** A tokenizer whose tokens are single bytes (ids 4 to 259) behind four special ones: any text, no merges. */

const specials = ["<s>", "</s>", "<|user|>", "<|assistant|>"];

/** Byte-level BPE writes bytes as printable characters: those that are printable stand for themselves. */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };

/** tokenizer.json */
export const byteTokenizer = {
  version: "1.0",
  added_tokens: specials.map((content, id) => ({
    id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
  })),
  normalizer: null,
  pre_tokenizer: level,
  post_processor: null,
  decoder: level,
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    fuse_unk: false,
    byte_fallback: false,
    vocab: Object.fromEntries([...specials, ...byteCharacters()].map((token, id) => [token, id])),
    merges: [],
  },
};

/** tokenizer_config.json */
export const byteTokenizerConfig = { bos_token: "<s>", eos_token: "</s>", add_bos_token: true };
