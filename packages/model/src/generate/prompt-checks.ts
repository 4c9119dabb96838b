/** What a prompt must satisfy before it is processed. */
import type { AttentionMode } from "@infllm/attention";
import type { SparseConfig } from "@infllm/block-selection";
import { ConfigError, ShapeError } from "@infllm/tensor";

export interface PromptLimits {
  readonly contextLength: number;
  /** Token ids are below this. */
  readonly vocabulary: number;
}

/** @throws ConfigError (empty, impossible ids), ShapeError (longer than the context) */
export function checkPrompt(ids: readonly number[], { contextLength, vocabulary }: PromptLimits): void {
  if (ids.length === 0) {
    throw new ConfigError("The prompt has no tokens; generation needs at least one. Pass a prompt that is not empty.");
  }
  if (ids.length > contextLength) {
    throw new ShapeError(
      `The prompt has ${ids.length} tokens, but the context holds ${contextLength}. ` +
        "Shorten it, or load the model with a larger contextLength.",
    );
  }
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (wrong !== undefined) {
    throw new ConfigError(`The prompt has the token id ${wrong}; the model has ids from 0 to ${vocabulary - 1}.`);
  }
}

/** @throws ConfigError when sparse attention is asked of a model without a sparse config */
export function checkAttention(attention: AttentionMode, sparse: SparseConfig | undefined): void {
  if (attention !== "sparse" || sparse !== undefined) return;
  throw new ConfigError(
    'attention "sparse" was asked for, but this model has no sparse_config. Load it with one (option `sparse`), or use "auto".',
  );
}
