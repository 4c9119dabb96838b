/** The dense/sparse switch: the only difference between the two is which tokens a query reads. */
import type { SparseConfig } from "@infllm/block-selection";

/** `auto` switches by length; the others decide by hand. */
export type AttentionMode = "auto" | "dense" | "sparse";

/**
 * Whether a sequence attends sparsely. Without a sparse config it never does.
 *
 * @param length tokens of the sequence: at prefill those of the whole prompt (known also when it arrives in chunks),
 *   at decode the current length, the new token included.
 */
export function attendsSparsely(mode: AttentionMode, length: number, config: SparseConfig | undefined): boolean {
  if (config === undefined || mode === "dense") return false;
  return mode === "sparse" || length >= config.denseLen;
}
