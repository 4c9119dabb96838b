import type { SparseConfig } from "@infllm/block-selection";
import type { RopeConfig } from "../rope/rope-config.ts";

export const architectures = ["llama", "qwen2", "qwen3", "minicpm"] as const;

/** The families of decoder this package computes; all are pre-norm transformers with RoPE and SwiGLU. */
export type Architecture = (typeof architectures)[number];

/**
 * Everything the maths of a model depends on, the same for every family and file format. What a family does not
 * have is neutral: scale 1, no bias, no head norm.
 */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Query heads; a multiple of `kvHeads`. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of the gated MLP. */
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly normEpsilon: number;
  readonly rope: RopeConfig;
  /** Positions the model was trained for, in tokens. */
  readonly trainedContext: number;
  /** The output matrix is the embedding table. */
  readonly tiedEmbeddings: boolean;
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean };
  /** RMS norm of each query and key head before RoPE (Qwen3). */
  readonly headNorm: boolean;
  /** Multiplies embeddings (MiniCPM `scale_emb`). */
  readonly embeddingScale: number;
  /** Multiplies what each attention and MLP block adds (MiniCPM `scale_depth` / √layers). */
  readonly residualScale: number;
  /** Multiplies the normed hidden state before the output matrix (MiniCPM `dim_model_base` / hidden). */
  readonly logitScale: number;
  /** Numbers of block-sparse attention; without them the model always attends densely. */
  readonly sparse?: SparseConfig;
  readonly bosId?: number;
  /** Tokens that end a generation. */
  readonly eosIds: readonly number[];
}
