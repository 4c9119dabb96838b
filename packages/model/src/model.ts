import type { Backend } from "@infllm/tensor";
import { UsageError } from "@infllm/tensor";
import type { ModelConfig } from "./config/model-config.ts";
import type { Network } from "./forward/forward.ts";
import { generateText } from "./generate/generate.ts";
import { resolveOptions } from "./generate/options.ts";
import type { GenerateOptions, SamplingDefaults } from "./generate/options.ts";
import { Runner } from "./generate/runner.ts";
import { readSelection } from "./generate/selection.ts";
import type { Selection } from "./generate/selection.ts";
import type { ModelDescription } from "./load/describe.ts";
import type { ChatMessage, ChatTemplateOptions } from "./tokenizer/chat-template.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** A text, a chat, or token ids as they are. */
export type Prompt = string | readonly ChatMessage[] | readonly number[];

/** What `loadModel` hands over to a model. */
export interface ModelParts {
  readonly description: ModelDescription;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly network: Network;
  readonly contextLength: number;
  readonly chunk: number;
  readonly eosIds: readonly number[];
  readonly sampling: SamplingDefaults;
  /** Releases everything that the network holds. */
  release(): void;
}

/** A model on a backend, with one KV cache. Made by `loadModel`; runs one generation at a time. */
export class Model {
  readonly #parts: ModelParts;
  readonly #runner: Runner;
  /** Whose tokens the cache holds. */
  #owner: object | undefined;
  #busy = false;
  #closed = false;

  constructor(parts: ModelParts) {
    this.#parts = parts;
    this.#runner = new Runner(parts.network, parts.chunk);
  }

  get description(): ModelDescription {
    return this.#parts.description;
  }

  get config(): ModelConfig {
    return this.#parts.config;
  }

  get tokenizer(): Tokenizer {
    return this.#parts.tokenizer;
  }

  get backend(): Backend {
    return this.#parts.network.backend;
  }

  /** Tokens that prompt and answer may have together. */
  get contextLength(): number {
    return this.#parts.contextLength;
  }

  /** Bytes of the KV cache. */
  get cacheBytes(): number {
    return this.#parts.network.cache.bytes;
  }

  /**
   * Streams the answer to a prompt, starting with an empty cache.
   *
   * @throws ConfigError (options, empty prompt), ShapeError (prompt longer than the context), UsageError (closed or
   *   busy), whatever `signal` was aborted with; all when the first piece is asked for, or later
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<string, void, undefined> {
    return this.#generate(prompt, options, undefined);
  }

  /** A conversation that keeps its part of the cache between turns. */
  createSession(): Session {
    const owner = {};
    return {
      generate: (prompt, options = {}) => this.#generate(prompt, options, owner),
      reset: () => {
        if (this.#owner === owner) this.#owner = undefined;
      },
    };
  }

  /** Token ids of a prompt, as `generate` would process it. */
  promptIds(prompt: Prompt, template?: ChatTemplateOptions): number[] {
    if (typeof prompt === "string") return this.tokenizer.encode(prompt);
    if (prompt.length === 0) return [];
    return isIds(prompt) ? [...prompt] : this.tokenizer.encodeChat(prompt as readonly ChatMessage[], template);
  }

  /** f32 `[vocabulary]`: logits of the last query, from which the last token was chosen. */
  async lastLogits(): Promise<Float32Array> {
    this.#requireOpen();
    if (this.#runner.lastQuery === undefined) throw new UsageError("No prompt was processed yet; call generate first.");
    return this.#runner.logits();
  }

  /** The blocks that the last query chose in every layer, or undefined when it attended densely. */
  async lastSelection(): Promise<Selection | undefined> {
    this.#requireOpen();
    this.#runner.restore();
    return readSelection(this.#parts.network, this.#runner.lastQuery);
  }

  /** Releases weights, cache and buffers; the backend stays open. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.backend.sync();
    this.#runner.release();
    this.#parts.release();
  }

  async *#generate(prompt: Prompt, options: GenerateOptions, owner: object | undefined) {
    this.#requireOpen();
    if (this.#busy) throw new UsageError("This model is generating already; wait for the end, or load another one.");
    this.#busy = true;
    try {
      const { tokenizer, sampling, contextLength, eosIds, network } = this.#parts;
      options.signal?.throwIfAborted();
      const resolved = resolveOptions(options, sampling);
      const reuse = owner !== undefined && this.#owner === owner;
      this.#owner = owner;
      yield* generateText({
        runner: this.#runner,
        tokenizer,
        sparse: network.cache.shape.sparse,
        contextLength,
        vocabulary: this.config.vocabulary,
        eosIds,
        ids: this.promptIds(prompt, options.template),
        options: resolved,
        hooks: options,
        reuse,
      });
    } finally {
      this.#busy = false;
    }
  }

  #requireOpen(): void {
    if (this.#closed) throw new UsageError("This model was closed. Load it again with loadModel.");
  }
}

/**
 * A chat on a model. Pass the whole conversation each time: what it has in common with what the cache holds is not
 * processed again. Keys and values keep the attention, dense or sparse, that they were computed with.
 */
export interface Session {
  generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<string, void, undefined>;
  /** Forgets the cached tokens. */
  reset(): void;
}

function isIds(prompt: readonly unknown[]): prompt is readonly number[] {
  return prompt.every((item) => typeof item === "number");
}

