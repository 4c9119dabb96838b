import { BatchState } from "@infllm/attention";
import type { CachedSequence } from "@infllm/attention";
import { UsageError } from "@infllm/tensor";
import type { HostArray, RecordedStep } from "@infllm/tensor";
import { forward, forwardLayers, projectRows } from "../forward/forward.ts";
import type { Network } from "../forward/forward.ts";
import { LOGIT_ROWS, neighbours } from "./logit-rows.ts";
import type { LogitRows } from "./logit-rows.ts";
import { yieldToEvents } from "./yield.ts";

/** How the next token is drawn: see `SampleArgs` of the backend contract. */
export interface Draw {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  /** In [0, 1). */
  readonly uniform: number;
}

export interface PrefillArgs {
  readonly ids: readonly number[];
  readonly sparse: boolean;
  readonly draw: Draw;
  /** Keep what the cache has in common with `ids`; otherwise start empty. */
  readonly reuse: boolean;
  readonly onChunk?: ((processed: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ScoreArgs extends Omit<PrefillArgs, "draw"> {
  /** Ascending; the positions whose logits are wanted. */
  readonly positions: readonly number[];
}

/** What the last query of the last step saw. */
export interface LastQuery {
  /** Index of its row in the step's buffers. */
  readonly row: number;
  /** Absolute position in the sequence. */
  readonly position: number;
  readonly sparse: boolean;
}

/** A step that was enqueued and whose token was not looked at yet. */
interface Ahead {
  /** The token that the step draws. */
  readonly drawn: Promise<number>;
  readonly query: LastQuery;
}

/** Steps that are enqueued before the token of the first is waited for. */
const AHEAD = 2;

/**
 * Runs one sequence through a network: prompts in chunks, then token by token with recorded steps. A drawn token stays on
 * the device as the next step's input, so that step may be enqueued before the host knows the token. Where an answer ends
 * there, the step was for nothing: `settle` takes it back.
 */
export class Runner {
  readonly #network: Network;
  readonly #state: BatchState;
  readonly #sequence: CachedSequence;
  /** Tokens whose keys and values the cache holds, but for those of steps ahead. */
  #cached: number[] = [];
  /** The token drawn last, whose keys and values are not in the cache, or those of a step ahead. */
  #drawn = -1;
  /** Steps of which nobody knows the token yet, oldest first. */
  readonly #ahead: Ahead[] = [];
  /** Have steps that were taken back overwritten what the last query left in the buffers? */
  #overwritten = false;
  /** Was the last pass a text's scoring, whose logits went elsewhere? */
  #scored = false;
  /** One recorded decode step for dense, one for sparse attention. */
  readonly #steps = new Map<boolean, RecordedStep>();
  #last: LastQuery | undefined;

  /** @param chunk prompt tokens processed at a time; the activations have room for as many rows */
  constructor(
    network: Network,
    readonly chunk: number,
  ) {
    this.#network = network;
    this.#state = BatchState.allocate(network.backend, network.cache, { rows: chunk, sequences: 1 });
    this.#sequence = network.cache.addSequence();
  }

  /** Tokens in the cache, those of steps ahead left out. */
  get length(): number {
    return this.#cached.length;
  }

  /** Steps that are enqueued and whose token was not looked at. */
  get ahead(): number {
    return this.#ahead.length;
  }

  /** How many steps may be ahead: more than one only where that keeps a device busy. */
  get mostAhead(): number {
    return this.#network.backend.capabilities.runsLater ? AHEAD : 1;
  }

  /** The last query whose token was looked at. */
  get lastQuery(): LastQuery | undefined {
    return this.#last;
  }

  /** How many tokens of a prompt would be taken from the cache: all but the last at most, since its logits are needed. */
  reusable(ids: readonly number[]): number {
    const most = Math.min(ids.length - 1, this.#cached.length);
    let common = 0;
    while (common < most && ids[common] === this.#cached[common]) common++;
    return common;
  }

  /** Processes the prompt and draws the token after it; −1 if its logits are not finite. */
  async prefill({ ids, sparse, draw, reuse, onChunk, signal }: PrefillArgs): Promise<number> {
    this.#begin(false);
    this.#truncate(reuse ? this.reusable(ids) : 0);
    const start = this.#cached.length;
    let token = -1;
    for (let from = start; from < ids.length; from += this.chunk) {
      signal?.throwIfAborted();
      const chunk = ids.slice(from, from + this.chunk);
      const complete = from + chunk.length === ids.length;
      token = await this.#guarded(() => this.#chunk(chunk, sparse, complete ? draw : undefined));
      this.#drawn = token;
      onChunk?.(from + chunk.length - start, ids.length - start);
      await yieldToEvents();
    }
    return token;
  }

  /** Processes a text and gives the logits of the wanted positions, at most `LOGIT_ROWS` at a time. */
  async *score({ ids, sparse, positions, reuse, onChunk, signal }: ScoreArgs): AsyncGenerator<LogitRows, void, undefined> {
    const { backend, config } = this.#network;
    this.#begin(true);
    this.#truncate(reuse ? Math.min(this.reusable(ids), positions[0] ?? 0) : 0);
    const start = this.#cached.length;
    const logits = backend.allocate("f32", [Math.min(LOGIT_ROWS, this.chunk), config.vocabulary]);
    try {
      for (let from = start; from < ids.length; from += this.chunk) {
        signal?.throwIfAborted();
        const chunk = ids.slice(from, from + this.chunk);
        const wanted = neighbours(positions, from, from + chunk.length);
        await this.#guarded(async () => {
          this.#append(chunk);
          const { batch, positions: at } = this.#state;
          this.#last = { row: chunk.length - 1, position: this.#cached.length - 1, sparse };
          // The end of the text is complete even without wanted logits: what its last query selected can be asked for.
          const complete = wanted.length > 0 || from + chunk.length === ids.length;
          forwardLayers(this.#network, { batch, positions: at, sparse }, complete);
          await backend.sync();
        });
        for (const [first, end] of wanted) {
          const rows = await this.#guarded(async () => {
            projectRows(this.#network, [first - from, end - from], logits);
            return floats(await backend.read(logits.view({ rows: [0, end - first] })));
          });
          yield { first, count: end - first, logits: rows };
        }
        onChunk?.(from + chunk.length - start, ids.length - start);
        await yieldToEvents();
      }
    } finally {
      logits.release();
    }
  }

  /** Enqueues a step that appends the token drawn last, known or not, and draws the one after it. */
  enqueue(sparse: boolean, draw: Draw): void {
    const query = { row: 0, position: this.#sequence.length, sparse };
    const run = async (): Promise<number> => {
      this.#decode(sparse, draw);
      return this.#readDrawn();
    };
    const drawn = run();
    // Whoever takes the token hears of an error; a step that is taken back has nobody.
    drawn.catch(() => undefined);
    this.#ahead.push({ drawn, query });
  }

  /** The token that the oldest step ahead has drawn; −1 if its logits are not finite. @throws UsageError without a step */
  async next(): Promise<number> {
    const step = this.#ahead.shift();
    if (step === undefined) throw new UsageError("next() without a step; call enqueue() before.");
    const token = await this.#guarded(() => step.drawn);
    this.#cached.push(this.#drawn);
    this.#drawn = token;
    this.#last = step.query;
    await yieldToEvents();
    return token;
  }

  /** Takes back the steps whose token nobody looked at. */
  settle(): void {
    if (this.#ahead.length === 0) return;
    this.#ahead.length = 0;
    this.#overwritten = true;
    this.#truncate(this.#cached.length);
  }

  /** Makes the buffers hold what the last query computed, by computing it again where a step taken back was after it. */
  restore(): void {
    const { backend, activations } = this.#network;
    const id = this.#cached.at(-1);
    if (!this.#overwritten || this.#last === undefined || id === undefined) return;
    backend.write(activations.sampled, Int32Array.of(id));
    this.#sequence.truncate(this.#cached.length - 1);
    this.#decode(this.#last.sparse, { temperature: 0, topK: 0, topP: 1, uniform: 0 });
    this.#last = { ...this.#last, row: 0 };
    this.#overwritten = false;
  }

  /** f32 `[vocabulary]`: logits of the last query. @throws UsageError after `score`, which gave them itself */
  async logits(): Promise<Float32Array> {
    if (this.#scored) throw new UsageError("The last pass scored a text and gave its logits itself; use scoreRows, or call generate before.");
    this.restore();
    return floats(await this.#network.backend.read(this.#network.activations.logits));
  }

  release(): void {
    for (const step of this.#steps.values()) step.release();
    this.#state.release();
    this.#sequence.release();
  }

  /** Before a prompt or a text: nothing is ahead, and the buffers are about to hold what it computes. */
  #begin(scored: boolean): void {
    this.settle();
    this.#overwritten = false;
    this.#scored = scored;
  }

  async #chunk(ids: readonly number[], sparse: boolean, draw: Draw | undefined): Promise<number> {
    const { backend } = this.#network;
    this.#append(ids);
    const { batch, positions } = this.#state;
    const pass = { batch, positions, sparse };
    this.#last = { row: ids.length - 1, position: this.#cached.length - 1, sparse };
    if (draw === undefined) {
      forward(this.#network, pass);
      await backend.sync();
      return -1;
    }
    this.#writeDraw(draw);
    forward(this.#network, { ...pass, logitRows: [ids.length - 1, ids.length] });
    this.#sample();
    return this.#readDrawn();
  }

  /** Enqueues one row: the token that `activations.sampled` holds. */
  #decode(sparse: boolean, draw: Draw): void {
    this.#state.set([{ sequence: this.#sequence, count: 1 }]);
    this.#writeDraw(draw);
    this.#step(sparse).run();
  }

  async #readDrawn(): Promise<number> {
    const [drawn = -1] = await this.#network.backend.read(this.#network.activations.sampled);
    return drawn;
  }

  #step(sparse: boolean): RecordedStep {
    const recorded = this.#steps.get(sparse);
    if (recorded !== undefined) return recorded;
    const { batch, positions } = this.#state;
    const step = this.#network.backend.record(() => {
      forward(this.#network, { batch, positions, sparse, ids: this.#network.activations.sampled, logitRows: [0, 1] });
      this.#sample();
    });
    this.#steps.set(sparse, step);
    return step;
  }

  #append(ids: readonly number[]): void {
    const { backend, activations } = this.#network;
    this.#state.set([{ sequence: this.#sequence, count: ids.length }]);
    backend.write(activations.ids, Int32Array.from(ids));
    for (const id of ids) this.#cached.push(id);
  }

  #writeDraw({ temperature, topK, topP, uniform }: Draw): void {
    this.#network.backend.write(this.#network.activations.settings, Float32Array.of(temperature, topK, topP, uniform));
  }

  #sample(): void {
    const { backend, activations } = this.#network;
    backend.neural.sample({ logits: activations.logits, settings: activations.settings, out: activations.sampled });
  }

  #truncate(length: number): void {
    this.#sequence.truncate(length);
    this.#cached.length = length;
  }

  /** After an error nobody knows what the cache holds: the next prompt starts empty. */
  async #guarded<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      this.#ahead.length = 0;
      this.#truncate(0);
      throw error;
    }
  }
}

function floats(logits: HostArray): Float32Array {
  if (logits instanceof Float32Array) return logits;
  throw new UsageError("The backend returned logits that are not f32.");
}
