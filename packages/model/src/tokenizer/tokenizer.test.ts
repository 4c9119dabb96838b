import { ConfigError, FormatError } from "@infllm/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteTokenizer, byteTokenizerConfig } from "../../test/support/byte-tokenizer.ts";
import { TextStream } from "./text-stream.ts";
import { Tokenizer } from "./tokenizer.ts";

const tokenizer = new Tokenizer({ tokenizer: byteTokenizer, config: byteTokenizerConfig });

describe("Tokenizer", () => {
  it("puts the start token before a text once, and none before parts of a chat", () => {
    expect(tokenizer.encode("a")).toEqual([0, 4 + 97]);
    expect(tokenizer.encode("<s>a")).toEqual([0, 4 + 97]);
    expect(tokenizer.encode("a", { special: false })).toEqual([4 + 97]);
  });

  it("leaves special tokens out of text unless asked", () => {
    expect(tokenizer.decode([0, 4 + 97, 1])).toBe("a");
    expect(tokenizer.decode([0, 4 + 97, 1], { special: true })).toBe("<s>a</s>");
  });

  it("passes over ids that no token has", () => {
    expect(tokenizer.decode([4 + 97, 100_000, 4 + 98])).toBe("ab");
  });

  it("writes a chat by the model's template", () => {
    const ids = tokenizer.encodeChat([
      { role: "user", content: "q" },
      { role: "assistant", content: "a" },
      { role: "user", content: "r" },
    ]);
    expect(tokenizer.decode(ids, { special: true })).toBe("<s><|user|>q<|assistant|>a</s><|user|>r<|assistant|>");
  });

  it("passes the thinking switch of Qwen3's and MiniCPM4.1's templates on, and says whether there is one", () => {
    // ChatML as these models have it; without the switch the template leaves the thinking to the model.
    const chatTemplate =
      "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- endfor %}" +
      "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}" +
      "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}";
    const chatMl = new Tokenizer({ tokenizer: byteTokenizer, config: {}, chatTemplate });
    const text = (options?: Record<string, unknown>) => chatMl.decode(chatMl.encodeChat([{ role: "user", content: "q" }], options), { special: true });
    const asked = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
    expect(text()).toBe(asked);
    expect(text({ enable_thinking: true })).toBe(asked);
    expect(text({ enable_thinking: false })).toBe(`${asked}<think>\n\n</think>\n\n`);
    expect(chatMl.templateReads("enable_thinking")).toBe(true);
    expect(tokenizer.templateReads("enable_thinking")).toBe(false);
    expect(new Tokenizer({ tokenizer: byteTokenizer, config: {} }).templateReads("enable_thinking")).toBe(false);
  });

  it("says why a chat is impossible", () => {
    const plain = new Tokenizer({ tokenizer: byteTokenizer, config: {} });
    expect(() => plain.encodeChat([{ role: "user", content: "q" }])).toThrow(ConfigError);
    const picky = new Tokenizer({
      tokenizer: byteTokenizer,
      config: {},
      chatTemplate: "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}",
    });
    expect(() => picky.encodeChat([{ role: "system", content: "s" }])).toThrow(/refused the messages.*user first/);
    expect(() => tokenizer.encodeChat([])).toThrow(/at least one message/);
  });

  it("refuses a tokenizer.json that is none", () => {
    expect(() => new Tokenizer({ tokenizer: { model: { type: "Quantum" } }, config: {} })).toThrow(FormatError);
    expect(() => new Tokenizer({ tokenizer: byteTokenizer, config: {}, chatTemplate: "{% if %}" })).toThrow(/cannot be parsed/);
  });
});

describe("TextStream", () => {
  it("shows a character once its bytes are complete", () => {
    const stream = new TextStream(tokenizer);
    const pieces = tokenizer.encode("a🦙b", { special: false }).map((id) => stream.push(id));
    expect(pieces).toEqual(["a", "", "", "", "🦙", "b"]);
  });

  it("flushes an incomplete character as U+FFFD", () => {
    const stream = new TextStream(tokenizer);
    const shown = tokenizer.encode("a🦙", { special: false }).slice(0, 3).map((id) => stream.push(id));
    expect(shown.join("") + stream.flush()).toBe("a\uFFFD");
  });

  it("gives the same text as decoding at once, for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), (text) => {
        const stream = new TextStream(tokenizer);
        const ids = tokenizer.encode(text, { special: false });
        expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(text);
      }),
      { seed: 3, numRuns: 200 },
    );
  });
});
