/** InfLLM-V2 (arXiv 2509.24663) as a method: this project's own sparse attention, with either LSE. */
import { sparseDefaults } from "@infllm/block-selection";
import type { LseMode, SparseConfig } from "@infllm/block-selection";
import { ConfigError } from "@infllm/tensor";
import type { AttentionMethod } from "./method.ts";

/** Changes to the model's sparse config; how they fit its other numbers is checked when the model is loaded. */
export type InfllmV2Options = Partial<Omit<SparseConfig, "lse" | "denseLen">>;

/** The model's sparse config, over MiniCPM4's numbers where it has none, at every length, with the approximate LSE. */
export function infllmV2(options: InfllmV2Options = {}): AttentionMethod {
  return sparse("infllm-v2", "approx", options);
}

/** The same with the exact LSE. */
export function infllmV2Exact(options: InfllmV2Options = {}): AttentionMethod {
  return sparse("infllm-v2-exact", "exact", options);
}

function sparse(name: string, lse: LseMode, options: InfllmV2Options): AttentionMethod {
  const known = Object.keys(sparseDefaults).filter((key) => key !== "lse" && key !== "denseLen");
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new ConfigError(`Method ${name}: unknown option "${unknown}"; it has ${known.join(", ")}.`);
  const changes = { ...options, lse };
  return { name, options: changes, model: { attention: "sparse", sparse: changes } };
}
