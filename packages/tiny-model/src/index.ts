import { embeddedFiles } from "./files.ts";
import type { EmbeddedFiles } from "./files.ts";

export type { EmbeddedFiles } from "./files.ts";

/** The embedded model. The URLs are written out one by one because bundlers only follow literal ones. */
export const tinyModel: EmbeddedFiles = embeddedFiles(
  "embedded",
  new Map([
    ["config.json", new URL("../data/config.json", import.meta.url)],
    ["generation_config.json", new URL("../data/generation_config.json", import.meta.url)],
    ["model.safetensors", new URL("../data/model.safetensors", import.meta.url)],
    ["tokenizer.json", new URL("../data/tokenizer.json", import.meta.url)],
    ["tokenizer_config.json", new URL("../data/tokenizer_config.json", import.meta.url)],
  ]),
);
