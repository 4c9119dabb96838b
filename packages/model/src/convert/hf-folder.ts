import type { JsonObject } from "../config/options.ts";
import type { OpenedModel } from "../load/opened-model.ts";
import { configToHf } from "./hf-config.ts";
import { writeFileWhole } from "./output-file.ts";
import { streamSafetensors } from "./safetensors-stream.ts";
import type { StreamedTensor } from "./safetensors-stream.ts";

/** What was written: paths, and the bytes of the weight file. */
export interface WrittenFolder {
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Writes a Hugging Face folder: the weights, then config, generation config and tokenizer. Each file appears under its
 * name only once it is complete.
 * @param settings goes into config.json beside what the model's own config says
 */
export async function writeHfFolder(
  opened: OpenedModel,
  out: string,
  tensors: readonly StreamedTensor[],
  settings: JsonObject,
): Promise<WrittenFolder> {
  const { join } = await import("node:path");
  const tokenizer = await opened.tokenizer();
  const template = tokenizer.chatTemplate === undefined ? {} : { chat_template: tokenizer.chatTemplate };
  const texts = {
    "config.json": { ...configToHf(opened.config), ...settings },
    "generation_config.json": generationConfig(opened),
    "tokenizer.json": tokenizer.tokenizer,
    "tokenizer_config.json": { ...tokenizer.config, ...template },
  };
  const path = join(out, "model.safetensors");
  const bytes = await writeFileWhole(path, (sink) => streamSafetensors(sink, tensors));
  const files = [path];
  for (const [name, content] of Object.entries(texts)) {
    const file = join(out, name);
    await writeFileWhole(file, (sink) => sink.write(new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`)));
    files.push(file);
  }
  return { files, bytes };
}

function generationConfig({ config, sampling }: OpenedModel): JsonObject {
  const { temperature, topP, topK } = sampling;
  return {
    ...(config.bosId === undefined ? {} : { bos_token_id: config.bosId }),
    eos_token_id: config.eosIds,
    ...(temperature === 0 ? { do_sample: false } : { do_sample: true, temperature, top_p: topP, top_k: topK }),
  };
}
