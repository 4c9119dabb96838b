import type { AttentionMode } from "@infllm/attention";
import type { AttentionMethod } from "@infllm/attention/methods";
import type { Backend } from "@infllm/tensor";
import { ConfigError, UsageError } from "@infllm/tensor";
import type { ModelConfig } from "./config/model-config.ts";
import type { Network } from "./forward/forward.ts";
import { generateText } from "./generate/generate.ts";
import type { LogitRows } from "./generate/logit-rows.ts";
import { resolveOptions } from "./generate/options.ts";
import type { GenerateOptions, ResolvedOptions, SamplingDefaults } from "./generate/options.ts";
import { Runner } from "./generate/runner.ts";
import { scoreRows, scoreTokens } from "./generate/score.ts";
import type { ScoreOptions, Scoring, TokenScores } from "./generate/score.ts";
import { readSelection } from "./generate/selection.ts";
import type { Selection } from "./generate/selection.ts";
import type { ModelDescription } from "./load/describe.ts";
import type { HeldMemory, ModelMemory } from "./load/memory.ts";
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
  readonly method: AttentionMethod | undefined;
  readonly eosIds: readonly number[];
  readonly sampling: SamplingDefaults;
  readonly memory: ModelMemory;
  /** Releases everything that the network holds. */
  release(): void;
}

/** What every pass over the cache gets. */
type Shared = Pick<Scoring, "runner" | "sparse" | "contextLength" | "vocabulary" | "reuse">;

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

  /** Bytes that the model takes, and what its backend holds beside it. */
  memory(): HeldMemory {
    this.#requireOpen();
    const { scratch, recorded, staging } = this.backend.memory();
    return { ...this.#parts.memory, scratch, recorded, staging };
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
      score: (ids, options = {}) => scoreTokens(ids, this.#scoreRows(ids, options, owner)),
      reset: () => {
        if (this.#owner === owner) this.#owner = undefined;
      },
    };
  }

  /**
   * How likely the model finds each token of a text, in one pass: perplexity, likelihoods of answers.
   *
   * @throws ConfigError (options, empty text), ShapeError (longer than the context), UsageError (closed or busy),
   *   whatever `signal` was aborted with
   */
  async score(ids: readonly number[], options: ScoreOptions = {}): Promise<TokenScores> {
    return scoreTokens(ids, this.scoreRows(ids, options));
  }

  /** The logits behind `score`, a few positions at a time, so that memory stays bounded at any length. */
  scoreRows(ids: readonly number[], options: ScoreOptions = {}): AsyncGenerator<LogitRows, void, undefined> {
    return this.#scoreRows(ids, options, undefined);
  }

  /** Token ids of a prompt, as `generate` would process it. */
  promptIds(prompt: Prompt, template?: ChatTemplateOptions): number[] {
    if (typeof prompt === "string") return this.tokenizer.encode(prompt);
    if (prompt.length === 0) return [];
    return isIds(prompt) ? [...prompt] : this.tokenizer.encodeChat(prompt as readonly ChatMessage[], template);
  }

  /**
   * f32 `[vocabulary]`: logits of the last query, from which the last token was chosen.
   * @throws UsageError before the first prompt, after a text that was scored, and once closed
   */
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
    options.signal?.throwIfAborted();
    const { tokenizer, sampling, eosIds } = this.#parts;
    const resolved = resolveOptions({ ...options, attention: this.#attention(options.attention) }, sampling);
    this.#requireRevocable(resolved);
    yield* this.#alone(owner, (shared) =>
      generateText({ ...shared, tokenizer, eosIds, ids: this.promptIds(prompt, options.template), options: resolved, hooks: options }),
    );
  }

  async *#scoreRows(ids: readonly number[], options: ScoreOptions, owner: object | undefined) {
    this.#requireOpen();
    options.signal?.throwIfAborted();
    const { attention } = resolveOptions({ attention: this.#attention(options.attention) });
    yield* this.#alone(owner, (shared) => scoreRows({ ...shared, ids, options, attention }));
  }

  /** Runs one pass over the cache at a time, which from then on is `owner`'s. */
  async *#alone<T>(owner: object | undefined, run: (shared: Shared) => AsyncGenerator<T, void, undefined>) {
    this.#requireOpen();
    if (this.#busy) throw new UsageError("This model is generating already; wait for the end, or load another one.");
    this.#busy = true;
    try {
      const { contextLength, network, method } = this.#parts;
      const reuse = owner !== undefined && this.#owner === owner && method?.model.everyQuery !== true;
      this.#owner = owner;
      const { vocabulary } = this.config;
      yield* run({ runner: this.#runner, sparse: network.cache.shape.sparse, contextLength, vocabulary, reuse });
    } finally {
      this.#busy = false;
    }
  }

  /** What was asked for; under a method, what it needs. @throws ConfigError when these differ */
  #attention(asked: AttentionMode | undefined): AttentionMode | undefined {
    const { method } = this.#parts;
    if (method === undefined) return asked;
    if (asked === undefined || asked === method.model.attention) return method.model.attention;
    throw new ConfigError(
      `attention ${JSON.stringify(asked)} was asked for, but this model was loaded with the method ${method.name}, which decides itself. ` +
        "Leave the option out, or load the model without a method.",
    );
  }

  /** @throws ConfigError when tokens were to be taken back under a method that cannot */
  #requireRevocable({ speculate, profile }: ResolvedOptions): void {
    const { method } = this.#parts;
    if (method?.model.everyQuery !== true || (speculate === undefined && !profile)) return;
    throw new ConfigError(
      `${profile ? "profile" : "speculate"} was asked for, but the method ${method.name} keeps what every query brought, so no token can be ` +
        "computed again or taken back. Leave the option out.",
    );
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
  /** As `Model.score`; tokens before the first wanted position are not processed again. */
  score(ids: readonly number[], options?: ScoreOptions): Promise<TokenScores>;
  /** Forgets the cached tokens. */
  reset(): void;
}

function isIds(prompt: readonly unknown[]): prompt is readonly number[] {
  return prompt.every((item) => typeof item === "number");
}

