/** How a query is scored against the keys before selection: with the exact or the coarse-key log-sum-exp. */
export type LseMode = "exact" | "approx";

/** InfLLM-V2's numbers. Tokens unless said otherwise; defaults are MiniCPM4's. Make one with `sparseConfig`. */
export interface SparseConfig {
  /** Keys averaged into one fine key. A multiple of `kernelStride`. */
  readonly kernelSize: number;
  /** Tokens between the starts of neighbouring windows. Divides `blockSize`. */
  readonly kernelStride: number;
  /** Tokens in a block, and in a page of the KV cache. */
  readonly blockSize: number;
  /** Blocks at the start that every query sees. */
  readonly initBlocks: number;
  /** Sliding window that every query sees besides its own block. A multiple of `blockSize`. */
  readonly windowSize: number;
  /** With `windowSize / blockSize` added: the blocks a query sees, forced ones included. */
  readonly topk: number;
  /** Sequences shorter than this attend densely; 0 or −1 means always sparse. */
  readonly denseLen: number;
  readonly lse: LseMode;
}
