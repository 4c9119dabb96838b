import { embeddedFiles } from "./files.ts";
import type { EmbeddedFiles } from "./files.ts";

export type { EmbeddedFiles } from "./files.ts";

/**
 * The same network after the first stage of training only, on rows of 2048 tokens: to see what stretching its rotary
 * embedding (YaRN) makes of longer ones. An entry of its own, so that pages with the embedded model do not carry it.
 */
export const tinyModelShort: EmbeddedFiles = embeddedFiles(
  "embedded-short",
  new Map([
    ["config.json", new URL("../data/config.json", import.meta.url)],
    ["generation_config.json", new URL("../data/generation_config.json", import.meta.url)],
    ["model.safetensors", new URL("../data/model-short.safetensors", import.meta.url)],
    ["tokenizer.json", new URL("../data/tokenizer.json", import.meta.url)],
    ["tokenizer_config.json", new URL("../data/tokenizer_config.json", import.meta.url)],
  ]),
);
