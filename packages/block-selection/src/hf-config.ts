/** Hugging Face's `sparse_config` object, as MiniCPM4's `config.json` has it, with `lse` added. */
import { ConfigError, UnsupportedError } from "@infllm/tensor";
import { sparseConfig } from "./config.ts";
import type { LseMode, SparseConfig } from "./config.ts";

/** Numbers are tokens, but for `init_blocks` and `topk` (blocks). */
export interface HfSparseConfig {
  kernel_size: number;
  kernel_stride: number;
  block_size: number;
  init_blocks: number;
  window_size: number;
  topk: number;
  dense_len: number;
  /** Scores with un-rotated queries and keys; only `false` is supported. */
  use_nope: false;
  /** Not in published configs: `approx` (what they mean) or `exact`. */
  lse: LseMode;
}

const names = {
  kernel_size: "kernelSize",
  kernel_stride: "kernelStride",
  block_size: "blockSize",
  init_blocks: "initBlocks",
  window_size: "windowSize",
  topk: "topk",
  dense_len: "denseLen",
} as const satisfies Partial<Record<keyof HfSparseConfig, keyof SparseConfig>>;

/**
 * Reads a `sparse_config` object; what it leaves out gets MiniCPM4's value.
 * @throws ConfigError for anything but an object, unknown keys and wrong values; UnsupportedError for `use_nope: true`.
 */
export function sparseConfigFromHf(json: unknown): SparseConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError(`sparse_config must be an object of ${knownKeys()}; given was ${JSON.stringify(json)}.`);
  }
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(json)) {
    if (Object.hasOwn(names, key)) {
      options[names[key as keyof typeof names]] = requireNumber(key, value);
    } else if (key === "lse") {
      options["lse"] = requireLse(value);
    } else if (key === "use_nope") {
      refuseNope(value);
    } else {
      throw new ConfigError(`sparse_config has an unknown key "${key}". Known are ${knownKeys()}.`);
    }
  }
  return sparseConfig(options);
}

/** The same config under Hugging Face's names; `sparseConfigFromHf` reads it back. */
export function sparseConfigToHf(config: SparseConfig): HfSparseConfig {
  return {
    kernel_size: config.kernelSize,
    kernel_stride: config.kernelStride,
    block_size: config.blockSize,
    init_blocks: config.initBlocks,
    window_size: config.windowSize,
    topk: config.topk,
    dense_len: config.denseLen,
    use_nope: false,
    lse: config.lse,
  };
}

function requireNumber(key: string, value: unknown): number {
  if (typeof value !== "number") {
    throw new ConfigError(`sparse_config.${key} is ${JSON.stringify(value)}; it must be an integer.`);
  }
  return value;
}

function requireLse(value: unknown): LseMode {
  if (value !== "exact" && value !== "approx") {
    throw new ConfigError(`sparse_config.lse is ${JSON.stringify(value)}; it must be "exact" or "approx".`);
  }
  return value;
}

function refuseNope(value: unknown): void {
  if (value === false) return;
  if (value === true) {
    throw new UnsupportedError(
      "sparse_config.use_nope is true: scoring with un-rotated queries and keys is not supported. " +
        "Set it to false if the model was trained with rotated ones, or run it with dense attention.",
    );
  }
  throw new ConfigError(`sparse_config.use_nope is ${JSON.stringify(value)}; it must be false.`);
}

function knownKeys(): string {
  return [...Object.keys(names), "use_nope", "lse"].join(", ");
}
