import { readFileSync } from "node:fs";
import { hostArray } from "@infllm/tensor";
import type { ModelFiles } from "../../src/formats/model-files.ts";
import { byteTokenizer, byteTokenizerConfig } from "./byte-tokenizer.ts";
import { fixturePath, fixtureTensors } from "./fixture-source.ts";
import { memoryFiles } from "./memory-files.ts";

/** A checkpoint that transformers wrote; its tokenizer is ours, since the runs are in token ids. */
export function hfFixture(family: string): ModelFiles {
  const bytes = (file: string) => new Uint8Array(readFileSync(fixturePath(`${family}/${file}`)));
  return memoryFiles({
    "config.json": bytes("config.json"),
    "model.safetensors": bytes("model.safetensors"),
    "tokenizer.json": byteTokenizer,
    "tokenizer_config.json": byteTokenizerConfig,
  });
}

export interface HfRun {
  readonly ids: readonly number[];
  /** f32 `[tokens, vocabulary]` */
  readonly logits: Float32Array;
  /** Largest magnitude among them. */
  readonly largest: number;
}

export async function hfRun(family: string, name: string): Promise<HfRun> {
  const file = await fixtureTensors(`${family}/runs/${name}.safetensors`);
  const ids = hostArray(await file.tensor("input_ids")) as Int32Array;
  const logits = hostArray(await file.tensor("logits")) as Float32Array;
  return { ids: Array.from(ids), logits, largest: logits.reduce((most, value) => Math.max(most, Math.abs(value)), 0) };
}
