import { KvCache } from "@infllm/attention";
import { methodBackend } from "@infllm/attention/methods";
import type { AttentionMethod } from "@infllm/attention/methods";
import { sparseConfig } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { ConfigError, FormatError } from "@infllm/tensor";
import type { Backend, CacheDType } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import { allocateActivations } from "../forward/activations.ts";
import { requireHeadDim, requireModelBackend } from "../forward/model-backend.ts";
import type { ModelBackend } from "../forward/model-backend.ts";
import type { ModelFiles, ModelFilesOptions } from "../formats/model-files.ts";
import { Model } from "../model.ts";
import { ropeTable } from "../rope/rope-table.ts";
import { stretchedRope } from "../rope/stretched-rope.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import { loadWeights } from "../weights/load-weights.ts";
import type { LoadContext } from "../weights/load-weights.ts";
import { weightPlan } from "../weights/weight-plan.ts";
import type { WeightsOption } from "../weights/weight-plan.ts";
import { describe, requireContext } from "./describe.ts";
import type { ModelDescription } from "./describe.ts";
import { cacheSpec, chunkRows, memoryOn, requireMemory } from "./memory.ts";
import { openModel } from "./open-model.ts";
import type { OpenedModel } from "./opened-model.ts";

/** Context without a stated length: no model is asked for more than it was trained for, nor a machine for gigabytes. */
export const DEFAULT_CONTEXT = 16_384;

export interface LoadProgress {
  readonly stage: "download" | "weights";
  /** What is being downloaded, or the model's name. */
  readonly name: string;
  /** Bytes. */
  readonly done: number;
  /** 0 where a server does not say. */
  readonly total: number;
}

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Folder, hub address and token of downloads: see `openModelFiles`. */
  readonly cacheDir?: string | undefined;
  readonly hubUrl?: string | undefined;
  readonly token?: string | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Changes to the model's sparse attention; over MiniCPM4's numbers where the model has none. */
  readonly sparse?: Partial<SparseConfig> | undefined;
}

export interface LoadOptions extends SourceOptions {
  readonly backend: Backend;
  /** Tokens to make room for; by default the trained context, but at most `DEFAULT_CONTEXT`. */
  readonly contextLength?: number | undefined;
  /**
   * Type of the KV cache: one of the backend's `capabilities.kvCache`, the first by default. `q8` takes little
   * more than half of 16 bits, at a small loss of quality.
   */
  readonly kvCache?: CacheDType | undefined;
  /** Type to hold the weight matrices in; as stored by default, where the backend can. */
  readonly weights?: WeightsOption | undefined;
  /** Prompt tokens processed at a time; the backend's `prefillRows` by default. */
  readonly chunk?: number | undefined;
  /** Another attention than the model's own, to compare with: see `@infllm/attention/methods`. */
  readonly method?: AttentionMethod | undefined;
}

/**
 * Loads a model: a folder, a file, `hf:org/name[@revision]` or `embedded`.
 *
 * Memory is checked before weights are read, and all of it is allocated here. The backend stays the caller's.
 * @throws OutOfMemoryError with needed and available bytes; UnsupportedError, ConfigError, FormatError,
 *   NotAvailableError naming what is wrong
 */
export async function loadModel(source: string | ModelFiles, options: LoadOptions): Promise<Model> {
  const backend = requireModelBackend(options.backend);
  const opened = await openModel(source, filesOptions(options));
  try {
    return await loadOpened(opened, backend, options);
  } finally {
    await opened.close();
  }
}

/** What `loadModel` would load, from headers and configs alone. */
export async function inspectModel(source: string | ModelFiles, options: SourceOptions = {}): Promise<ModelDescription> {
  const opened = await openModel(source, { ...filesOptions(options), download: false });
  try {
    return describe(opened, mergedSparse(opened.config, options.sparse));
  } finally {
    await opened.close();
  }
}

/** The same for an opened model, which stays open. `onMatrix` is told what each matrix on the backend holds. */
export async function loadOpened(
  opened: OpenedModel,
  plainBackend: ModelBackend,
  options: LoadOptions,
  onMatrix?: LoadContext["onMatrix"],
): Promise<Model> {
  const needs = options.method?.model;
  const config = { ...opened.config, rope: stretchedRope(opened.config.rope, needs?.yarn) };
  requireHeadDim(plainBackend, config.headDim);
  const sparse = mergedSparse(config, needs?.sparse === undefined ? options.sparse : { ...options.sparse, ...needs.sparse });
  const contextLength = options.contextLength ?? Math.min(config.trainedContext, DEFAULT_CONTEXT);
  requireContext(contextLength);
  const rope = ropeTable(config.rope, contextLength);
  const backend = options.method === undefined ? plainBackend : methodBackend(plainBackend, options.method, rope);
  const chunk = needs?.wholePrompt ? contextLength : chunkOf(options, chunkRows(backend, contextLength));
  const plan = weightPlan(opened.weights, config, backend.capabilities.weights, options.weights ?? "stored");
  await opened.weights.verify?.(options.signal);
  const cacheOptions = { contextLength, kvCache: options.kvCache, sparse };
  const memory = memoryOn(backend, config, plan.bytes, { ...cacheOptions, chunk });
  requireMemory(backend, memory, contextLength);
  const tokenizer = new Tokenizer(await opened.tokenizer());
  checkVocabulary(tokenizer, config);

  const owned: { release(): void }[] = [];
  const release = () => {
    for (const item of owned.splice(0)) item.release();
  };
  try {
    const cache = KvCache.allocate(backend, cacheSpec(config, cacheOptions));
    owned.push({ release: () => cache.close() });
    const buffers = allocateActivations(backend, config, { rows: chunk, logitRows: 1, sparse });
    owned.push(buffers);
    const frequencies = backend.allocate("f32", [rope.frequencies.length]);
    owned.push(frequencies);
    backend.write(frequencies, rope.frequencies);
    const weights = await loadWeights({ backend, source: opened.weights, config, onMatrix, ...progress(opened, options) }, plan);
    owned.push(weights);
    const network = {
      backend,
      config,
      weights,
      cache,
      activations: buffers.activations,
      frequencies,
      amplitude: rope.amplitude,
      everyQuery: needs?.everyQuery ?? false,
    };
    return new Model({
      description: describe(opened, sparse),
      config,
      tokenizer,
      network,
      contextLength,
      chunk,
      method: options.method,
      eosIds: endTokens(config, tokenizer),
      sampling: opened.sampling,
      memory,
      release,
    });
  } catch (error) {
    release();
    throw error;
  }
}

export function filesOptions({ signal, cacheDir, hubUrl, token, onProgress }: SourceOptions): ModelFilesOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(hubUrl === undefined ? {} : { hubUrl }),
    ...(token === undefined ? {} : { token }),
    ...(onProgress === undefined
      ? {}
      : { onProgress: ({ file, loaded, total }) => onProgress({ stage: "download", name: file, done: loaded, total }) }),
  };
}

function mergedSparse(config: ModelConfig, changes: Partial<SparseConfig> | undefined): SparseConfig | undefined {
  if (changes === undefined) return config.sparse;
  return sparseConfig({ ...config.sparse, ...changes });
}

function chunkOf({ chunk }: LoadOptions, byDefault: number): number {
  if (chunk === undefined) return byDefault;
  if (Number.isSafeInteger(chunk) && chunk >= 1 && chunk <= 2 ** 20) return chunk;
  throw new ConfigError(`chunk is ${chunk}; it must be a whole number of tokens from 1 to 1048576.`);
}

function checkVocabulary(tokenizer: Tokenizer, config: ModelConfig): void {
  if (tokenizer.size <= config.vocabulary) return;
  throw new FormatError(
    `The tokenizer has ids up to ${tokenizer.size - 1}, but the model has ${config.vocabulary} embeddings. Use the tokenizer of this model.`,
  );
}

function endTokens(config: ModelConfig, tokenizer: Tokenizer): number[] {
  const own = tokenizer.eos === undefined ? [] : [tokenizer.eos.id];
  return [...new Set([...config.eosIds, ...own])];
}

function progress(opened: OpenedModel, options: LoadOptions) {
  const { onProgress, signal } = options;
  if (onProgress === undefined) return { signal };
  const total = opened.storedBytes;
  const onBytes = (done: number) => onProgress({ stage: "weights", name: opened.name, done: Math.min(done, total), total });
  return { signal, onBytes };
}
