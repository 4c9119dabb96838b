import { NotAvailableError } from "@infllm/tensor";
import { configFromHf } from "../config/config-from-hf.ts";
import { Options } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";
import type { ModelFiles } from "../formats/model-files.ts";
import type { OpenWeights } from "../formats/weight-source.ts";
import { greedy } from "../generate/options.ts";
import type { SamplingDefaults } from "../generate/options.ts";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import { checkTensors } from "../weights/check-tensors.ts";
import { names } from "../weights/tensor-list.ts";
import type { OpenedModel } from "./opened-model.ts";
import { readJson } from "./read-json.ts";

/** Opens a Hugging Face folder: config.json and tokenizer.json beside the safetensors weights. */
export async function openHf(files: ModelFiles, weights: OpenWeights): Promise<Omit<OpenedModel, "close">> {
  const config = await readJson(files, "config.json");
  if (config === undefined) {
    throw new NotAvailableError(
      `${files.name} has no config.json; a model is a folder with config.json, safetensors weights and tokenizer.json, or one GGUF file.`,
    );
  }
  const generation = await readJson(files, "generation_config.json");
  const hasOutputMatrix = weights.names.includes(names.output);
  const parsed = configFromHf({ config, hasOutputMatrix, ...(generation === undefined ? {} : { generation }) });
  checkTensors(weights, parsed);
  return {
    name: files.name,
    format: "safetensors",
    config: parsed,
    weights,
    storedBytes: weights.bytes,
    sampling: samplingDefaults(generation),
    tokenizer: () => readTokenizerFiles(files),
  };
}

/** What `generation_config.json` suggests for sampling; greedy unless it says `do_sample`. */
function samplingDefaults(generation: JsonObject | undefined): SamplingDefaults {
  if (generation?.["do_sample"] !== true) return greedy;
  const options = new Options(generation, "generation_config.json");
  return {
    temperature: options.number("temperature", 1),
    topP: options.number("top_p", 1),
    topK: options.number("top_k", 50),
  };
}
