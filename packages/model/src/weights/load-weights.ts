import { FormatError, convertStored, isEncodable, rowBytes, toF32 } from "@infllm/tensor";
import type { Backend, DeviceTensor, NeuralOps, WeightDType, WeightMatrix } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { assertFinite, firstNonFinite } from "./finite.ts";
import { layerPrefix, names } from "./tensor-list.ts";
import type { LinearPlan, MatrixPlan, WeightPlan } from "./weight-plan.ts";

/** Stored bytes read at a time: enough for full disk speed, little beside any model. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A weight and the columns `[from, to)` of the activation that its output goes to. */
export interface LinearPart {
  readonly weight: WeightMatrix;
  /** f32 `[weight.rows]` */
  readonly bias?: DeviceTensor;
  readonly from: number;
  readonly to: number;
}

export interface LayerWeights {
  /** f32 `[hidden]` */
  readonly attentionNorm: DeviceTensor;
  /** Output `[heads * d | kvHeads * d | kvHeads * d]` */
  readonly qkv: readonly LinearPart[];
  /** f32 `[headDim]` each */
  readonly headNorm?: { readonly q: DeviceTensor; readonly k: DeviceTensor };
  readonly output: readonly LinearPart[];
  /** f32 `[hidden]` */
  readonly mlpNorm: DeviceTensor;
  /** Output `[gate | up]` */
  readonly gateUp: readonly LinearPart[];
  readonly down: readonly LinearPart[];
}

export interface ModelWeights {
  readonly embedding: WeightMatrix;
  readonly layers: readonly LayerWeights[];
  /** f32 `[hidden]`, the logit scale folded in. */
  readonly finalNorm: DeviceTensor;
  readonly output: WeightMatrix;
  release(): void;
}

export interface LoadContext {
  readonly backend: Backend & { readonly neural: NeuralOps };
  readonly source: WeightSource;
  readonly config: ModelConfig;
  /** Stored bytes read so far and in all. */
  readonly onBytes?: ((done: number) => void) | undefined;
  /** Told of every matrix, and of the tensors whose rows it holds. */
  readonly onMatrix?: ((matrix: WeightMatrix, sources: readonly string[]) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Streams a model's weights to the backend, a few megabytes of rows at a time.
 * @throws FormatError (NaN weights, an output matrix that contradicts tied embeddings), OutOfMemoryError
 */
export async function loadWeights(context: LoadContext, plan: WeightPlan): Promise<ModelWeights> {
  const loader = new Loader(context);
  try {
    const embedding = await loader.matrix(plan.embedding);
    const output = plan.output === undefined ? embedding : await loader.matrix(plan.output);
    if (plan.output === undefined) await loader.compareTied();
    const layers: LayerWeights[] = [];
    for (const [index, layer] of plan.layers.entries()) {
      const prefix = layerPrefix(index);
      layers.push({
        attentionNorm: await loader.vector(`${prefix}input_layernorm.weight`),
        qkv: await loader.linear(layer.qkv),
        ...(context.config.headNorm ? { headNorm: await loader.headNorm(prefix) } : {}),
        output: await loader.linear(layer.output),
        mlpNorm: await loader.vector(`${prefix}post_attention_layernorm.weight`),
        gateUp: await loader.linear(layer.gateUp),
        down: await loader.linear(layer.down),
      });
    }
    const finalNorm = await loader.vector(names.finalNorm, context.config.logitScale);
    return { embedding, layers, finalNorm, output, release: () => loader.release() };
  } catch (error) {
    loader.release();
    throw error;
  }
}

class Loader {
  readonly #owned: { release(): void }[] = [];
  #bytes = 0;

  constructor(readonly context: LoadContext) {}

  release(): void {
    for (const item of this.#owned.splice(0)) item.release();
  }

  async linear(plan: LinearPlan): Promise<LinearPart[]> {
    const parts: LinearPart[] = [];
    let from = 0;
    for (const matrix of plan) {
      const weight = await this.matrix(matrix);
      const bias = await this.#bias(matrix);
      parts.push({ weight, from, to: from + matrix.rows, ...(bias === undefined ? {} : { bias }) });
      from += matrix.rows;
    }
    return parts;
  }

  async headNorm(prefix: string): Promise<{ q: DeviceTensor; k: DeviceTensor }> {
    return {
      q: await this.vector(`${prefix}self_attn.q_norm.weight`),
      k: await this.vector(`${prefix}self_attn.k_norm.weight`),
    };
  }

  async matrix(plan: MatrixPlan): Promise<WeightMatrix> {
    const matrix = this.context.backend.neural.allocateWeight(plan.rows, plan.columns, plan.dtype);
    this.#owned.push(matrix);
    this.context.onMatrix?.(matrix, plan.sources);
    let row = 0;
    for (const name of plan.sources) {
      for await (const { data, rows } of this.#pieces(name)) {
        matrix.writeRows(row, this.#converted(name, data, rows * plan.columns, plan.dtype));
        row += rows;
      }
    }
    return matrix;
  }

  async vector(name: string, scale = 1): Promise<DeviceTensor> {
    const values = (await this.#numbers(name)).map((value) => value * scale);
    const tensor = this.context.backend.allocate("f32", [values.length]);
    this.#owned.push(tensor);
    this.context.backend.write(tensor, values);
    return tensor;
  }

  /** Some checkpoints store the table twice; a second one that differs means that the config is not theirs. */
  async compareTied(): Promise<void> {
    if (!this.context.source.names.includes(names.output)) return;
    const table = this.#pieces(names.embedding);
    for await (const { data } of this.#pieces(names.output)) {
      const other = await table.next();
      if (!other.done && equalBytes(data, other.value.data)) continue;
      throw new FormatError(
        `The config says that embeddings are tied, but ${names.output} differs from ${names.embedding}. ` +
          "Set tie_word_embeddings to false if the model has an output matrix of its own.",
      );
    }
  }

  async #bias(plan: MatrixPlan): Promise<DeviceTensor | undefined> {
    const biasNames = plan.sources.map((name) => name.replace(/\.weight$/, ".bias"));
    if (!biasNames.every((name) => this.context.source.names.includes(name))) return undefined;
    const parts = await Promise.all(biasNames.map((name) => this.#numbers(name)));
    const tensor = this.context.backend.allocate("f32", [plan.rows]);
    this.#owned.push(tensor);
    this.context.backend.write(tensor, Float32Array.from(parts.flatMap((part) => [...part])));
    return tensor;
  }

  async #numbers(name: string): Promise<Float32Array> {
    const { dtype, shape } = this.context.source.info(name);
    const [elements = 0] = shape;
    const data = await this.context.source.readRows(name, 0, 1);
    assertFinite(name, dtype, data, elements, 0);
    this.#count(data.length);
    return toF32(dtype, data, elements);
  }

  async *#pieces(name: string): AsyncGenerator<{ data: Uint8Array; rows: number }> {
    const { dtype, shape } = this.context.source.info(name);
    const [rows = 0, columns = 0] = shape;
    const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes(dtype, columns)));
    for (let from = 0; from < rows; from += step) {
      this.context.signal?.throwIfAborted();
      const to = Math.min(rows, from + step);
      const data = await this.context.source.readRows(name, from, to);
      assertFinite(name, dtype, data, columns, from);
      this.#count(data.length);
      yield { data, rows: to - from };
    }
  }

  #converted(name: string, data: Uint8Array, elements: number, dtype: WeightDType): Uint8Array {
    const stored = this.context.source.info(name).dtype;
    if (stored === dtype || !isEncodable(dtype)) return data;
    const converted = convertStored(stored, dtype, data, elements);
    if (firstNonFinite(dtype, converted) < 0) return converted;
    throw new FormatError(`${name} has numbers beyond the range of ${dtype}; load its weights as bf16 or f32.`);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.context.onBytes?.(this.#bytes);
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
