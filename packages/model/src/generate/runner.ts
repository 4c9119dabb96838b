import { UsageError } from "@infllm/tensor";
import type { Network } from "../forward/forward.ts";
import type { OpTimes } from "../profile/op-times.ts";
import { LOGIT_ROWS, asLogits, neighbours } from "./logit-rows.ts";
import type { LogitRows } from "./logit-rows.ts";
import { Passes } from "./passes.ts";
import type { Draw } from "./passes.ts";
import { yieldToEvents } from "./yield.ts";

export interface PrefillArgs {
  readonly ids: readonly number[];
  readonly sparse: boolean;
  readonly draw: Draw;
  /** Keep what the cache has in common with `ids`; otherwise start empty. */
  readonly reuse: boolean;
  readonly onChunk?: ((processed: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Runs op by op, and adds their times. */
  readonly times?: OpTimes | undefined;
}

export interface ScoreArgs extends Omit<PrefillArgs, "draw" | "times"> {
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
  /** Was its row one of a draft that was checked? Its logits are then beside those of the other rows. */
  readonly checked: boolean;
}

/** A token that nobody looked at yet: of a step that was enqueued, or of a draft that was checked. */
interface Ahead {
  readonly token: Promise<number>;
  /** The query that draws it. */
  readonly query: LastQuery;
  /** Queries of one pass have their results side by side. */
  readonly pass: object;
}

/** Steps that are enqueued before the token of the first is waited for. */
const AHEAD = 2;

/**
 * Runs one sequence through a network: prompts in chunks, then token by token with recorded steps. A drawn token stays on
 * the device as the next step's input, so that step may be enqueued before the host knows the token; and a draft of several
 * tokens may be checked in one pass. Where an answer ends before all that is looked at, `settle` takes the rest back.
 */
export class Runner {
  readonly #network: Network;
  readonly #passes: Passes;
  /** Tokens whose keys and values the cache holds, but for those that nobody looked at. */
  #cached: number[] = [];
  /** The token looked at last, whose keys and values are not in the cache, or with those that nobody looked at. */
  #drawn = -1;
  /** The token drawn last, where a step would not find it on the device. */
  #unsent: number | undefined;
  /** Oldest first. */
  readonly #ahead: Ahead[] = [];
  /** Have steps that were taken back overwritten what the last query left in the buffers? */
  #overwritten = false;
  /** Was the last pass a text's scoring, whose logits went elsewhere? */
  #scored = false;
  #last: (LastQuery & Pick<Ahead, "pass">) | undefined;

  /** @param chunk prompt tokens processed at a time; the activations have room for as many rows */
  constructor(
    network: Network,
    readonly chunk: number,
  ) {
    this.#network = network;
    this.#passes = new Passes(network, chunk);
  }

  /** Tokens in the cache, those left out that nobody looked at. */
  get length(): number {
    return this.#cached.length;
  }

  /** Tokens that nobody looked at, of steps that may still run. */
  get ahead(): number {
    return this.#ahead.length;
  }

  /** Is the next token one of a draft that was checked, or the one after it, so that it is there already? */
  get nextStands(): boolean {
    return this.#ahead[0]?.query.checked ?? false;
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

  /**
   * Processes the prompt and draws the token after it; −1 if its logits are not finite. On a device that runs later, a chunk is
   * enqueued before the one before it is waited for.
   */
  async prefill({ ids, sparse, draw, reuse, onChunk, signal, times }: PrefillArgs): Promise<number> {
    const { backend } = this.#network;
    this.#begin(false, reuse ? this.reusable(ids) : 0);
    const start = this.#cached.length;
    let before: Promise<void> | undefined;
    for (let from = start; from < ids.length; from += this.chunk) {
      signal?.throwIfAborted();
      const chunk = ids.slice(from, from + this.chunk);
      const complete = from + chunk.length === ids.length;
      await this.#guarded(async () => {
        const enqueue = () => (complete ? this.#passes.complete(chunk, sparse, draw) : this.#passes.layers(chunk, sparse, false));
        if (times === undefined) enqueue();
        else await this.#passes.timed(times, enqueue);
        this.#processed(chunk, sparse);
        const done = complete ? undefined : heard(backend.sync());
        if (!backend.capabilities.runsLater) before = done;
        await before;
        if (before !== undefined) onChunk?.((before === done ? from + chunk.length : from) - start, ids.length - start);
        before = before === done ? undefined : done;
        this.#drawn = complete ? await this.#passes.drawn() : -1;
      });
      await yieldToEvents();
    }
    onChunk?.(ids.length - start, ids.length - start);
    return this.#drawn;
  }

  /** Processes a text and gives the logits of the wanted positions, at most `LOGIT_ROWS` at a time. */
  async *score({ ids, sparse, positions, reuse, onChunk, signal }: ScoreArgs): AsyncGenerator<LogitRows, void, undefined> {
    const { backend, config } = this.#network;
    this.#begin(true, reuse ? Math.min(this.reusable(ids), positions[0] ?? 0) : 0);
    const start = this.#cached.length;
    const logits = backend.allocate("f32", [Math.min(LOGIT_ROWS, this.chunk), config.vocabulary]);
    try {
      for (let from = start; from < ids.length; from += this.chunk) {
        signal?.throwIfAborted();
        const chunk = ids.slice(from, from + this.chunk);
        const wanted = neighbours(positions, from, from + chunk.length);
        await this.#guarded(async () => {
          // The end of the text is complete even without wanted logits: what its last query selected can be asked for.
          const complete = wanted.length > 0 || from + chunk.length === ids.length;
          this.#passes.layers(chunk, sparse, complete);
          this.#processed(chunk, sparse);
          await backend.sync();
        });
        for (const [first, end] of wanted) {
          const rows = await this.#guarded(async () => {
            this.#passes.project([first - from, end - from], logits);
            return asLogits(await backend.read(logits.view({ rows: [0, end - first] })));
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
    const query = { row: 0, position: this.#passes.length, sparse, checked: false };
    const run = async (): Promise<number> => {
      const id = this.#unsent;
      this.#unsent = undefined;
      this.#passes.decode(sparse, draw, id);
      return this.#passes.drawn();
    };
    const token = run();
    // Whoever takes the token hears of an error; a step that is taken back has nobody.
    token.catch(() => undefined);
    this.#ahead.push({ token, query, pass: query });
  }

  /** Room to check drafts of so many tokens. @throws OutOfMemoryError */
  prepareChecks(tokens: number): void {
    if (this.#passes.prepareChecks(tokens + 1) && this.#last?.checked) this.#last = undefined;
  }

  /**
   * Appends the token looked at last and a draft of what follows in one pass, in which each row draws the token after it,
   * as steps would have done one by one. As far as these are the draft's, they stand, and so does the first that differs, or
   * the one after the whole draft: `next` gives them.
   * @param draws as many as the draft has tokens, and one more
   * @returns how many tokens of the draft stand
   * @throws UsageError while tokens are ahead
   */
  async check(draft: readonly number[], sparse: boolean, draws: readonly Draw[]): Promise<number> {
    if (this.#ahead.length > 0) throw new UsageError("check() with tokens ahead; take them with next() before.");
    const first = this.#passes.length;
    const drawn = await this.#guarded(async () => {
      this.#passes.check([this.#drawn, ...draft], sparse, draws);
      return this.#passes.checked(draft.length + 1);
    });
    let right = 0;
    while (right < draft.length && drawn[right] === draft[right]) right++;
    this.#passes.truncate(first + right + 1);
    const pass = {};
    for (let row = 0; row <= right; row++) {
      const query = { row, position: first + row, sparse, checked: true };
      this.#ahead.push({ token: Promise.resolve(drawn[row] ?? -1), query, pass });
    }
    this.#unsent = drawn[right];
    return right;
  }

  /** The oldest token that nobody looked at; −1 if its logits are not finite. @throws UsageError where there is none */
  async next(): Promise<number> {
    const ahead = this.#ahead.shift();
    if (ahead === undefined) throw new UsageError("next() without a token; call enqueue() or check() before.");
    const token = await this.#guarded(() => ahead.token);
    this.#cached.push(this.#drawn);
    this.#drawn = token;
    const samePass = this.#last?.pass === ahead.pass;
    this.#last = { ...ahead.query, pass: ahead.pass };
    if (!samePass) await yieldToEvents();
    return token;
  }

  /** Takes back the tokens that nobody looked at. */
  settle(): void {
    if (this.#ahead.length === 0) return;
    this.#overwritten ||= this.#ahead.some(({ pass }) => pass !== this.#last?.pass);
    this.#ahead.length = 0;
    this.#truncate(this.#cached.length);
  }

  /** Makes the buffers hold what the last query computed, by computing it again where a step taken back was after it. */
  restore(): void {
    if (this.#overwritten) this.#lastAgain();
  }

  /** Computes the last query again, op by op, and adds their times. */
  async profile(times: OpTimes): Promise<void> {
    this.settle();
    await this.#guarded(() => this.#passes.timed(times, () => this.#lastAgain()));
  }

  /** f32 `[vocabulary]`: logits of the last query. @throws UsageError after `score`, which gave them itself */
  async logits(): Promise<Float32Array> {
    if (this.#scored) throw new UsageError("The last pass scored a text and gave its logits itself; use scoreRows, or call generate before.");
    this.restore();
    const row = this.#last?.checked ? this.#last.row : undefined;
    return asLogits(await this.#network.backend.read(this.#passes.logits(row)));
  }

  release(): void {
    this.#passes.release();
  }

  /** Before a prompt or a text, of which `kept` tokens are cached: nothing is ahead, the buffers will hold what it computes. */
  #begin(scored: boolean, kept: number): void {
    this.settle();
    this.#truncate(kept);
    this.#overwritten = false;
    this.#unsent = undefined;
    this.#scored = scored;
  }

  #lastAgain(): void {
    const id = this.#cached.at(-1);
    if (this.#last === undefined || id === undefined) return;
    this.#passes.truncate(this.#cached.length - 1);
    this.#passes.decode(this.#last.sparse, { temperature: 0, topK: 0, topP: 1, uniform: 0 }, id);
    this.#last = { ...this.#last, row: 0, checked: false };
    this.#overwritten = false;
  }

  /** Notes tokens of a prompt or a text that are in the cache once what is enqueued has run. */
  #processed(ids: readonly number[], sparse: boolean): void {
    for (const id of ids) this.#cached.push(id);
    const query = { row: ids.length - 1, position: this.#cached.length - 1, sparse, checked: false };
    this.#last = { ...query, pass: query };
  }

  #truncate(length: number): void {
    this.#passes.truncate(length);
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

/** Whoever waits for the work hears of an error; where nobody does any more, it is not unhandled. */
function heard(work: Promise<void>): Promise<void> {
  work.catch(() => undefined);
  return work;
}
