import { FormatError, convertStored, hostArray, isEncodable, rowBytes, toF32 } from "@infllm/tensor";
import type { Backend, DeviceTensor, NeuralOps, WeightDType, WeightMatrix } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { assertFinite, firstNonFinite } from "./finite.ts";
import { readAhead } from "./read-ahead.ts";
import type { Piece } from "./read-ahead.ts";
import { layerPrefix, names } from "./tensor-list.ts";
import type { LinearPlan, MatrixPlan, WeightPlan } from "./weight-plan.ts";

/**
 * Stored bytes read at a time, in whole rows: enough for full disk speed. With what is read ahead (`readAhead`), 16 MiB of
 * host memory, or four rows where these are longer; and the matrices that rows are cut from where these are packed.
 */
const PIECE_BYTES = 4 * 2 ** 20;
/** Rows of a piece are a multiple of this where so many fit: heads of GGUF files and tiles of packed layouts stay whole. */
const PIECE_ROWS = 128;

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
 * Streams a model's weights to the backend, a few megabytes of rows at a time, and reads the next ones meanwhile. All of
 * the backend's memory is taken first.
 * @throws FormatError (NaN weights, an output matrix that contradicts tied embeddings), OutOfMemoryError
 */
export async function loadWeights(context: LoadContext, plan: WeightPlan): Promise<ModelWeights> {
  const loader = new Loader(context);
  try {
    const weights = modelWeights(loader, plan, context.config);
    await loader.run();
    return weights;
  } catch (error) {
    loader.release();
    throw error;
  }
}

/** Allocates everything and says what is to be read, in this order. */
function modelWeights(loader: Loader, plan: WeightPlan, { headNorm, logitScale }: ModelConfig): ModelWeights {
  const embedding = loader.matrix(plan.embedding);
  const output = plan.output === undefined ? embedding : loader.matrix(plan.output);
  if (plan.output === undefined) loader.compareTied();
  const layers = plan.layers.map((layer, index): LayerWeights => {
    const prefix = layerPrefix(index);
    return {
      attentionNorm: loader.vector(`${prefix}input_layernorm.weight`),
      qkv: loader.linear(layer.qkv),
      ...(headNorm ? { headNorm: loader.headNorm(prefix) } : {}),
      output: loader.linear(layer.output),
      mlpNorm: loader.vector(`${prefix}post_attention_layernorm.weight`),
      gateUp: loader.linear(layer.gateUp),
      down: loader.linear(layer.down),
    };
  });
  const finalNorm = loader.vector(names.finalNorm, logitScale);
  return { embedding, layers, finalNorm, output, release: () => loader.release() };
}

/** A piece, and what is done with its bytes once they were found to be finite; they are lent until it returns. */
interface Step extends Piece {
  take(data: Uint8Array): void;
}

class Loader {
  readonly #owned: { release(): void }[] = [];
  readonly #steps: Step[] = [];

  constructor(private readonly context: LoadContext) {}

  release(): void {
    for (const item of this.#owned.splice(0)) item.release();
  }

  /** Takes every step that was asked for. */
  async run(): Promise<void> {
    const { backend, source, signal, onBytes } = this.context;
    const memory = backend.uploadMemory?.bind(backend);
    let done = 0;
    for await (const { piece, data } of readAhead(source, this.#steps, { signal, memory })) {
      const { dtype, shape } = source.info(piece.name);
      assertFinite(piece.name, dtype, data, shape.at(-1) ?? 0, piece.from);
      done += data.length;
      onBytes?.(done);
      piece.take(data);
    }
  }

  linear(plan: LinearPlan): LinearPart[] {
    let from = 0;
    return plan.map((matrix) => {
      const to = from + matrix.rows;
      const weight = this.matrix(matrix);
      const bias = this.#bias(matrix);
      const part = { weight, from, to, ...(bias === undefined ? {} : { bias }) };
      from = to;
      return part;
    });
  }

  headNorm(prefix: string): { q: DeviceTensor; k: DeviceTensor } {
    return {
      q: this.vector(`${prefix}self_attn.q_norm.weight`),
      k: this.vector(`${prefix}self_attn.k_norm.weight`),
    };
  }

  matrix(plan: MatrixPlan): WeightMatrix {
    const matrix = this.context.backend.neural.allocateWeight(plan.rows, plan.columns, plan.dtype);
    this.#owned.push(matrix);
    this.context.onMatrix?.(matrix, plan.sources);
    let first = 0;
    for (const name of plan.sources) {
      for (const piece of this.#pieces(name)) {
        const row = first;
        const elements = (piece.to - piece.from) * plan.columns;
        this.#steps.push({ ...piece, take: (data) => matrix.writeRows(row, this.#converted(name, data, elements, plan.dtype)) });
        first += piece.to - piece.from;
      }
    }
    return matrix;
  }

  vector(name: string, scale = 1): DeviceTensor {
    return this.#vectors([name], scale);
  }

  /** Some checkpoints store the table twice; a second one that differs means that the config is not theirs. */
  compareTied(): void {
    if (!this.context.source.names.includes(names.output)) return;
    const table = this.#pieces(names.embedding);
    let output = new Uint8Array();
    for (const [i, piece] of this.#pieces(names.output).entries()) {
      this.#steps.push({ ...piece, take: (data) => (output = data.slice()) });
      const same = table[i];
      if (same !== undefined) this.#steps.push({ ...same, take: (data) => requireTied(output, data) });
    }
  }

  #bias(plan: MatrixPlan): DeviceTensor | undefined {
    const biasNames = plan.sources.map((name) => name.replace(/\.weight$/, ".bias"));
    return biasNames.every((name) => this.context.source.names.includes(name)) ? this.#vectors(biasNames) : undefined;
  }

  /** f32, one after the other in one tensor. */
  #vectors(sources: readonly string[], scale = 1): DeviceTensor {
    const { backend, source } = this.context;
    const lengths = sources.map((name) => source.info(name).shape[0] ?? 0);
    const values = new Float32Array(lengths.reduce((sum, length) => sum + length, 0));
    const tensor = backend.allocate("f32", [values.length]);
    this.#owned.push(tensor);
    let from = 0;
    for (const [i, name] of sources.entries()) {
      const { dtype } = source.info(name);
      const length = lengths[i] ?? 0;
      const at = from;
      const take = (data: Uint8Array): void => {
        values.set(toF32(dtype, data, length).map((value) => value * scale), at);
        if (at + length === values.length) backend.write(tensor, values);
      };
      this.#steps.push({ name, from: 0, to: 1, bytes: rowBytes(dtype, length), take });
      from += length;
    }
    return tensor;
  }

  #pieces(name: string): Piece[] {
    const { dtype, shape } = this.context.source.info(name);
    const [rows = 0, columns = 0] = shape;
    const most = Math.max(1, Math.floor(PIECE_BYTES / rowBytes(dtype, columns)));
    const step = most > PIECE_ROWS ? most - (most % PIECE_ROWS) : most;
    return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
      const from = i * step;
      const to = Math.min(rows, from + step);
      return { name, from, to, bytes: (to - from) * rowBytes(dtype, columns) };
    });
  }

  #converted(name: string, data: Uint8Array, elements: number, dtype: WeightDType): Uint8Array {
    const stored = this.context.source.info(name).dtype;
    if (stored === dtype || !isEncodable(dtype)) return data;
    const converted = convertStored(stored, dtype, data, elements);
    if (firstNonFinite(dtype, converted) < 0) return converted;
    throw new FormatError(`${name} has numbers beyond the range of ${dtype}; load its weights as bf16 or f32.`);
  }
}

function requireTied(output: Uint8Array, table: Uint8Array): void {
  if (sameBytes(output, table)) return;
  throw new FormatError(
    `The config says that embeddings are tied, but ${names.output} differs from ${names.embedding}. ` +
      "Set tie_word_embeddings to false if the model has an output matrix of its own.",
  );
}

/** By words: twenty times as fast as by bytes. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const [ours, theirs] = [a, b].map((data) => hostArray({ dtype: "i32", shape: [data.length >> 2], data })) as [Int32Array, Int32Array];
  let different = 0;
  for (let i = 0; i < ours.length; i++) different |= (ours[i] as number) ^ (theirs[i] as number);
  for (let i = 4 * ours.length; i < a.length; i++) different |= (a[i] as number) ^ (b[i] as number);
  return different === 0;
}
