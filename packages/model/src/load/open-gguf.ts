import { configFromGguf } from "../config/config-from-gguf.ts";
import type { ModelFiles } from "../formats/model-files.ts";
import type { GgufFile } from "../formats/gguf.ts";
import type { OpenWeights } from "../formats/weight-source.ts";
import { greedy } from "../generate/options.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf-tokenizer.ts";
import { checkTensors } from "../weights/check-tensors.ts";
import { ggufWeights } from "../weights/gguf-weights.ts";
import type { OpenedModel } from "./opened-model.ts";

/** Opens a GGUF file, which has configuration and tokenizer inside. */
export async function openGgufModel(
  files: ModelFiles,
  weights: OpenWeights,
  gguf: GgufFile,
): Promise<Omit<OpenedModel, "close">> {
  const config = await configFromGguf(gguf);
  const renamed = ggufWeights(weights, config);
  checkTensors(renamed, config);
  return {
    name: files.name,
    format: "gguf",
    config,
    weights: renamed,
    storedBytes: weights.bytes,
    sampling: greedy,
    tokenizer: async () => tokenizerFromGguf(gguf),
  };
}
