/** For tests: tokenizers, and the options and short lengths they use. */
import { createHash } from "node:crypto";
import { tinyModel } from "@infllm/tiny-model";
import { Tokenizer } from "@infllm/model";
import type { GenerationSample, Samples, TaskOptions, TaskTokenizer } from "./task.ts";

/** A token for each word, space and sign, without a chat template. Ids name the piece. */
export function wordTokenizer(): TaskTokenizer {
  const pieces: string[] = [];
  const ids = new Map<string, number>();
  const encode = (text: string): number[] =>
    (text.match(/\w+|\s|[^\w\s]/g) ?? []).map((piece) => {
      const known = ids.get(piece);
      if (known !== undefined) return known;
      ids.set(piece, pieces.length);
      return pieces.push(piece) - 1;
    });
  return {
    hasChatTemplate: false,
    encode,
    decode: (tokens) => tokens.map((id) => pieces[id] ?? "").join(""),
    encodeChat: (messages) => encode(messages.map(({ content }) => content).join("\n")),
  };
}

let tiny: Promise<Tokenizer> | undefined;

/** The tokenizer of the embedded model, with its chat template. */
export function tinyTokenizer(): Promise<Tokenizer> {
  return (tiny ??= loadTiny());
}

async function loadTiny(): Promise<Tokenizer> {
  const [tokenizer, config] = await Promise.all(["tokenizer.json", "tokenizer_config.json"].map(readTinyJson));
  return new Tokenizer({ tokenizer: tokenizer ?? {}, config: config ?? {} });
}

async function readTinyJson(name: string): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(await tinyModel.read(name, 0, await tinyModel.size(name)))) as Record<string, unknown>;
}

export function options(given: Partial<TaskOptions> = {}): TaskOptions {
  return { tokenizer: wordTokenizer(), contextLength: 131_072, length: 2048, count: 3, seed: 1, ...given };
}

/** First 12 hex digits of SHA-256 over prompts and answers: changes when a generator does. */
export function fingerprint(samples: Samples<GenerationSample>): string {
  const hash = createHash("sha256");
  for (let index = 0; index < samples.count; index++) {
    const { prompt, expected } = samples.at(index);
    hash.update(JSON.stringify([prompt.text, prompt.answerPrefix ?? "", expected]));
  }
  return hash.digest("hex").slice(0, 12);
}
