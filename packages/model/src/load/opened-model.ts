import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import type { SamplingDefaults } from "../generate/options.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer.ts";

/** A model whose headers are read and checked, and whose weights are not read yet. */
export interface OpenedModel {
  readonly name: string;
  readonly format: "safetensors" | "gguf";
  readonly config: ModelConfig;
  /** Under Hugging Face names, rows in Hugging Face order, whatever the file. */
  readonly weights: WeightSource;
  /** How the weights are packed, for people; absent where they are plain, or in types of GGUF. */
  readonly quantisation?: string;
  /** Bytes of all tensors, as they are read. */
  readonly storedBytes: number;
  readonly sampling: SamplingDefaults;
  /** @throws NotAvailableError, FormatError, UnsupportedError */
  tokenizer(): Promise<TokenizerFiles>;
  close(): Promise<void>;
}
