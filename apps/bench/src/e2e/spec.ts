/** What one end-to-end measurement is asked, and what it answers. Both travel between processes as JSON. */

export const engines = ["infllm", "node-llama-cpp"] as const;
export type Engine = (typeof engines)[number];

/** `flash` is llama.cpp's name for its fused dense attention. */
export const attentions = ["dense", "sparse", "flash"] as const;
export type E2eAttention = (typeof attentions)[number];

export interface E2eSpec {
  readonly engine: Engine;
  readonly attention: E2eAttention;
  readonly model: E2eModel;
  readonly backend: string;
  readonly threads?: number | undefined;
  readonly length: number;
  /** Tokens timed after the first one. */
  readonly decodeTokens: number;
  readonly runs: number;
  readonly seed: number;
}

/** A model that a process of its own can open. */
export type E2eModel =
  | { readonly kind: "source"; readonly source: string }
  | { readonly kind: "synthetic"; readonly shape: string; readonly layers: number };

export interface E2eFigures {
  /** Seconds until the first token was chosen, of every run. */
  readonly prefillSeconds: readonly number[];
  /** Processor seconds of all threads in that time: what a busy machine does not stretch, waiting threads excepted. */
  readonly prefillCpuSeconds: readonly number[];
  /** Seconds for `decodeTokens` tokens, of every run. */
  readonly decodeSeconds: readonly number[];
  /** Largest resident memory of the process; absent where the measurement shared its process with others. */
  readonly peakBytes?: number;
  /** KV cache, where the engine tells. */
  readonly kvBytes?: number;
  /** Greedy tokens, for comparing engines. */
  readonly tokens: readonly number[];
  readonly device: string;
}
