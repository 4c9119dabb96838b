/** InfLLM-V2's numbers, and what they must satisfy. */
import { ConfigError } from "@infllm/tensor";

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

/** MiniCPM4's numbers: what `sparseConfig` fills in. */
export const sparseDefaults: SparseConfig = {
  kernelSize: 32,
  kernelStride: 16,
  blockSize: 64,
  initBlocks: 1,
  windowSize: 2048,
  topk: 64,
  denseLen: 8192,
  lse: "approx",
};

/** The smallest allowed value of each number. */
const minimum = {
  kernelSize: 1,
  kernelStride: 1,
  blockSize: 1,
  initBlocks: 0,
  windowSize: 0,
  topk: 1,
  denseLen: -1,
} as const satisfies Record<Exclude<keyof SparseConfig, "lse">, number>;

/** Four windows of this size, in elements, still fit the 32-bit integers that devices count with. */
const MAXIMUM = 2 ** 28;

/**
 * A complete, consistent config: what is given, over MiniCPM4's defaults. Keys given as `undefined` count as absent.
 * @throws ConfigError naming the first option outside its allowed values, or the two options that contradict.
 */
export function sparseConfig(options: { readonly [K in keyof SparseConfig]?: SparseConfig[K] | undefined } = {}): SparseConfig {
  for (const key of Object.keys(options)) {
    if (!(key in sparseDefaults)) {
      throw new ConfigError(
        `sparseConfig: unknown option "${key}". Known are ${Object.keys(sparseDefaults).join(", ")}.`,
      );
    }
  }
  const config: SparseConfig = {
    kernelSize: options.kernelSize ?? sparseDefaults.kernelSize,
    kernelStride: options.kernelStride ?? sparseDefaults.kernelStride,
    blockSize: options.blockSize ?? sparseDefaults.blockSize,
    initBlocks: options.initBlocks ?? sparseDefaults.initBlocks,
    windowSize: options.windowSize ?? sparseDefaults.windowSize,
    topk: options.topk ?? sparseDefaults.topk,
    denseLen: options.denseLen ?? sparseDefaults.denseLen,
    lse: options.lse ?? sparseDefaults.lse,
  };
  checkNumbers(config);
  checkRelations(config);
  return config;
}

function checkNumbers(config: SparseConfig): void {
  for (const [name, least] of Object.entries(minimum)) {
    const value = config[name as keyof typeof minimum];
    if (!Number.isInteger(value) || value < least || value > MAXIMUM) {
      throw new ConfigError(
        `sparseConfig: ${name} is ${String(value)}; it must be an integer from ${least} to ${MAXIMUM}.`,
      );
    }
  }
  if (config.lse !== "exact" && config.lse !== "approx") {
    throw new ConfigError(`sparseConfig: lse is ${JSON.stringify(config.lse)}; it must be "exact" or "approx".`);
  }
}

function checkRelations(config: SparseConfig): void {
  const { kernelSize, kernelStride, blockSize, initBlocks, windowSize, topk } = config;
  mustBeMultiple("kernelSize", kernelSize, "kernelStride", kernelStride);
  mustBeMultiple("blockSize", blockSize, "kernelStride", kernelStride);
  mustBeMultiple("windowSize", windowSize, "blockSize", blockSize);
  const coarseStride = 4 * kernelStride;
  if (coarseStride % blockSize !== 0 && blockSize % coarseStride !== 0) {
    throw new ConfigError(
      `sparseConfig: blockSize ${blockSize} and the coarse stride 4 × kernelStride = ${coarseStride} do not fit: ` +
        "one must be a multiple of the other. Powers of two always fit.",
    );
  }
  if (topk < initBlocks + 1) {
    throw new ConfigError(
      `sparseConfig: topk ${topk} leaves no room for the forced blocks: it must be at least initBlocks + 1 = ` +
        `${initBlocks + 1} (the first blocks and the query's own). Raise topk or lower initBlocks.`,
    );
  }
}

function mustBeMultiple(name: string, value: number, ofName: string, of: number): void {
  if (value % of !== 0) {
    const below = Math.floor(value / of) * of;
    const near = below > 0 ? `${below} or ${below + of}` : `${below + of}`;
    throw new ConfigError(`sparseConfig: ${name} ${value} is no multiple of ${ofName} ${of}; the nearest are ${near}.`);
  }
}
