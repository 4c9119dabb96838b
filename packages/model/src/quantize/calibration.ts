import { ConfigError } from "@infllm/tensor";
import type { LinearArgs, WeightMatrix } from "@infllm/tensor";
import { requireModelBackend } from "../forward/model-backend.ts";
import type { OpenedModel } from "../load/opened-model.ts";
import { loadOpened } from "../load/load-model.ts";
import type { LoadOptions } from "../load/load-model.ts";
import type { Model } from "../model.ts";
import { InputProducts } from "./input-products.ts";
import { observeLinear, requireObservable } from "./observe-linear.ts";
import type { ObservableBackend } from "./observe-linear.ts";

/** Tokens the model reads at a time, as usual for GPTQ. */
const SEQUENCE = 2048;
/** Fewest tokens that tell more than noise. */
const FEWEST = 128;

export interface CalibrationOptions extends Pick<LoadOptions, "backend" | "onProgress" | "signal"> {
  readonly text: string;
  /** Tokens of the text that are read; all of it when it has fewer. */
  readonly tokens: number;
}

/** What is done with the arguments of a linear layer now. */
interface Observing {
  observe: (args: LinearArgs) => void;
}

/** A model that reads a text to show what goes into its linear layers. */
export class Calibration {
  readonly #model: Model;
  readonly #backend: ObservableBackend;
  readonly #sequences: readonly number[][];
  readonly #sources: ReadonlyMap<WeightMatrix, readonly string[]>;
  /** The products wanted now, by the name of a weight tensor; matrices on one input share them. */
  #wanted = new Map<string, InputProducts>();
  readonly #observing: Observing;

  private constructor(parts: {
    model: Model;
    backend: ObservableBackend;
    sequences: readonly number[][];
    sources: ReadonlyMap<WeightMatrix, readonly string[]>;
    observing: Observing;
  }) {
    this.#model = parts.model;
    this.#backend = parts.backend;
    this.#sequences = parts.sequences;
    this.#sources = parts.sources;
    this.#observing = parts.observing;
  }

  /** @throws ConfigError for a text that is too short; UnsupportedError for a backend that cannot be observed; as `loadModel` */
  static async open(opened: OpenedModel, options: CalibrationOptions): Promise<Calibration> {
    const backend = requireObservable(requireModelBackend(options.backend));
    const observing: Observing = { observe: () => {} };
    const sources = new Map<WeightMatrix, readonly string[]>();
    const watched = observeLinear(backend, (args) => observing.observe(args));
    const contextLength = Math.min(SEQUENCE, opened.config.trainedContext);
    const loading = { ...options, backend: watched, contextLength };
    const model = await loadOpened(opened, watched, loading, (matrix, names) => sources.set(matrix, names));
    try {
      const sequences = cut(model.tokenizer.encode(options.text).slice(0, options.tokens), contextLength);
      return new Calibration({ model, backend, sequences, sources, observing });
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  /** Tokens that are read for each call of `products`. */
  get tokens(): number {
    return this.#sequences.reduce((sum, sequence) => sum + sequence.length, 0);
  }

  /** Reads the text and adds up Σ x·xᵀ for the weights of these names. */
  async products(names: readonly string[], signal: AbortSignal | undefined, onTokens: (done: number) => void): Promise<ReadonlyMap<string, InputProducts>> {
    this.#wanted = new Map();
    this.#observing.observe = (args) => this.#observe(args, names);
    try {
      let done = 0;
      for (const sequence of this.#sequences) {
        // Every position's logits are asked for, so that the last layer runs on all rows, too.
        for await (const _ of this.#model.scoreRows(sequence, { attention: "dense", signal })) continue;
        onTokens((done += sequence.length));
      }
      return this.#wanted;
    } finally {
      this.#observing.observe = () => {};
    }
  }

  close(): Promise<void> {
    return this.#model.close();
  }

  #observe({ x, weight }: LinearArgs, names: readonly string[]): void {
    const held = this.#sources.get(weight)?.filter((name) => names.includes(name)) ?? [];
    const [first] = held;
    if (first === undefined) return;
    const products = this.#wanted.get(first) ?? new InputProducts(weight.columns);
    for (const name of held) this.#wanted.set(name, products);
    products.add(this.#backend, x);
  }
}

function cut(ids: readonly number[], length: number): number[][] {
  if (ids.length < FEWEST) {
    throw new ConfigError(`The calibration text has ${ids.length} tokens; at least ${FEWEST} are needed, and some thousands tell more.`);
  }
  const sequences: number[][] = [];
  for (let from = 0; from < ids.length; from += length) sequences.push(ids.slice(from, from + length));
  // A rest of one token asks for no position's logits.
  return sequences.filter((sequence) => sequence.length > 1);
}
