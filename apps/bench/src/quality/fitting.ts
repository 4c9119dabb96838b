/** What methods are given by default, so that every sparse one may read as many tokens as the model's own sparse attention. */
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { methodNames } from "@infllm/attention/methods";
import { openModelFiles, type ModelDescription } from "@infllm/model";
import { NotAvailableError } from "@infllm/tensor";
import type { MethodChoice, MethodDefaults } from "./methods.ts";

/** Tokens that keep a sliding window's attention stable (StreamingLLM, arXiv 2309.17453). */
const sinkTokens = 4;

/** Defaults of each method for a model: budgets as the model's sparse config has them. */
export function methodDefaults({ sparse }: Pick<ModelDescription, "sparse">): MethodDefaults {
  const { blockSize, ...config } = sparse ?? sparseConfig();
  const budget = blockBudget({ blockSize, ...config }) * blockSize;
  // InfLLM (arXiv 2402.04617) divides its budget among first tokens, a local window and memory blocks.
  const local = Math.max(blockSize, Math.floor((budget * 3) / 8 / blockSize) * blockSize);
  const topk = Math.max(1, (budget - local - blockSize) / blockSize);
  const fitted: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    "sliding-window": { sinks: sinkTokens, window: budget - sinkTokens },
    "infllm-v1": { initTokens: blockSize, localWindow: local, blockSize, topk, chunk: Math.min(512, local) },
    minference: { budget },
  };
  return (name) => fitted[name] ?? {};
}

/** The weights from before long training, which YaRN stretches. */
const shortTwin: Readonly<Record<string, string>> = { embedded: "embedded-short" };

/** The model that a method runs on: YaRN is for weights that were trained on short texts only. */
export function methodModel(model: string, { method }: Pick<MethodChoice, "method">): string {
  return method.model.yarn === undefined ? model : (shortTwin[model] ?? model);
}

/**
 * The methods that make sense on a model without being asked for: not NSA, which needs weights trained for its three
 * branches, and YaRN only with weights from before long training.
 */
export async function usualMethods(model: string): Promise<string[]> {
  const short = shortTwin[model];
  const hasShort = short !== undefined && (await exists(short));
  return methodNames.filter((name) => name !== "nsa" && (name !== "yarn" || hasShort));
}

async function exists(model: string): Promise<boolean> {
  try {
    await (await openModelFiles(model)).close();
    return true;
  } catch (error) {
    if (error instanceof NotAvailableError) return false;
    throw error;
  }
}
