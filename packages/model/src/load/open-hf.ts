import { NotAvailableError, tensorBytes } from "@infllm/tensor";
import { configFromHf } from "../config/config-from-hf.ts";
import { Options } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { ModelFiles } from "../formats/model-files.ts";
import type { OpenWeights, WeightSource } from "../formats/weight-source.ts";
import { greedy } from "../generate/options.ts";
import type { SamplingDefaults } from "../generate/options.ts";
import { asStored, packedConfig } from "../packed/packed-config.ts";
import type { PackedConfig } from "../packed/packed-config.ts";
import { isPackedPart, packedWeights } from "../packed/packed-weights.ts";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import { checkTensors } from "../weights/check-tensors.ts";
import { names, tensorList } from "../weights/tensor-list.ts";
import type { OpenedModel } from "./opened-model.ts";
import { readJson } from "./read-json.ts";

const outputModule = names.output.replace(/weight$/, "");
const olderConfigs = ["quantize_config.json", "quant_config.json"] as const;

/** Opens a Hugging Face folder: config.json and tokenizer.json beside the safetensors weights. */
export async function openHf(files: ModelFiles, weights: OpenWeights): Promise<Omit<OpenedModel, "close">> {
  const config = await readJson(files, "config.json");
  if (config === undefined) {
    throw new NotAvailableError(
      `${files.name} has no config.json; a model is a folder with config.json, safetensors weights and tokenizer.json, or one GGUF file.`,
    );
  }
  const generation = await readJson(files, "generation_config.json");
  const packing = await packedConfigOf(files, config, weights);
  const hasOutputMatrix = weights.names.some((name) => name.startsWith(outputModule));
  const parsed = configFromHf({ config, hasOutputMatrix, ...(generation === undefined ? {} : { generation }) });
  const matrices = packing === undefined ? weights : packedWeights(weights, packing, tensorList(parsed));
  checkTensors(matrices, parsed);
  return {
    name: files.name,
    format: "safetensors",
    config: parsed,
    weights: matrices,
    ...(packing === undefined ? { storedBytes: weights.bytes } : { storedBytes: bytesRead(matrices, parsed), quantisation: packing.description }),
    sampling: samplingDefaults(generation),
    tokenizer: () => readTokenizerFiles(files),
  };
}

/** Of config.json, or of the files that AutoGPTQ and AutoAWQ once wrote beside it; undefined for plain weights. */
async function packedConfigOf(files: ModelFiles, config: JsonObject, weights: OpenWeights): Promise<PackedConfig | undefined> {
  const own = new Options(config, "config.json").object("quantization_config");
  if (own !== undefined) return asStored(packedConfig(own.values, own.where), weights.names);
  const packed = weights.names.find(isPackedPart);
  if (packed === undefined) return undefined;
  for (const file of olderConfigs) {
    const values = await readJson(files, file);
    if (values !== undefined) return asStored(packedConfig(values, file), weights.names);
  }
  throw new NotAvailableError(
    `${files.name} has packed weights (${packed}), but neither quantization_config in config.json nor ${olderConfigs.join(" or ")}. Fetch the missing file.`,
  );
}

function bytesRead(weights: WeightSource, config: ModelConfig): number {
  return [...tensorList(config)].reduce((sum, [name, shape]) => sum + tensorBytes(weights.info(name).dtype, shape), 0);
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
