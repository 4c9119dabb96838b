import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { convertModel, loadModel } from "@infllm/model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hfFiles, randomModel } from "../../../packages/model/test/support/random-model.ts";
import {
  byteLevelTokenizer,
  probes,
  sentencePieceTokenizer,
  trainingText,
} from "../../../packages/model/test/support/trained-tokenizer.ts";
import { missing, openLlama } from "./llama.ts";

const MERGES = 300;
const tokenizers = [
  ...["gpt-2", "smollm", "llama-bpe", "qwen2"].map((rule) => [rule, byteLevelTokenizer(rule, trainingText, MERGES)] as const),
  ["SentencePiece", sentencePieceTokenizer(trainingText, MERGES)] as const,
];

/** Tokenizers that went through a GGUF file: tokenizer.json, our reading of the file and llama.cpp's must agree. */
describe.skipIf(missing !== undefined)(`tokenizers in llama.cpp${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "llama-check-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  for (const [name, { tokenizer, config, vocabulary }] of tokenizers) {
    it(name, async () => {
      const model = randomModel("llama", { vocab_size: vocabulary, num_hidden_layers: 1 });
      const files = hfFiles(model, { files: { "tokenizer.json": tokenizer, "tokenizer_config.json": config } });
      const out = join(folder, `${name}.gguf`);
      await convertModel(files, { to: "gguf", dtype: "f32", out });
      const llama = await openLlama(out, 64);
      const options = { backend: referenceBackend(), contextLength: 64 };
      const [fromJson, fromGguf] = await Promise.all([loadModel(files, options), loadModel(out, options)]);
      for (const text of probes) {
        const expected = fromJson.tokenizer.encode(text, { special: false });
        expect(fromGguf.tokenizer.encode(text, { special: false }), text).toEqual(expected);
        expect(llama.tokenize(text), text).toEqual(expected);
        expect(fromGguf.tokenizer.decode(expected)).toBe(fromJson.tokenizer.decode(expected));
        expect(fromGguf.promptIds(text)).toEqual(fromJson.promptIds(text));
      }
      await llama.close();
    });
  }
});
