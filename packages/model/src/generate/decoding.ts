/** The tokens of an answer one by one, however they are computed: steps, steps ahead, or drafts checked in one pass. */
import { attendsSparsely } from "@infllm/attention";
import { ConfigError } from "@infllm/tensor";
import { OpTimes } from "../profile/op-times.ts";
import type { Profile } from "../profile/op-times.ts";
import { Drafter } from "./drafter.ts";
import { Draws } from "./draws.ts";
import type { Generation } from "./generate.ts";
import type { Speculation } from "./options.ts";
import { PassCosts } from "./pass-costs.ts";

/** Steps that a profile is the mean of; one more comes before them, which may load kernels. */
const PROFILED_STEPS = 4;

export class Decoding {
  readonly #generation: Generation;
  readonly #draws: Draws;
  readonly #drafter: Drafter | undefined;
  readonly #costs = new PassCosts();
  readonly #prefillTimes = new OpTimes();
  #generated = 0;
  #checks = 0;
  #drafted = 0;
  #accepted = 0;

  /** @throws ConfigError (drafts where a pass has one row), OutOfMemoryError (no room for them) */
  constructor(generation: Generation) {
    const { options: { speculate }, runner, ids } = generation;
    this.#generation = generation;
    this.#draws = new Draws(generation.options);
    if (speculate === undefined) return;
    if (runner.chunk < 2) {
      throw new ConfigError("speculate checks several tokens in one pass, but the model was loaded with chunk 1. Load it with a larger chunk.");
    }
    const tokens = Math.min(speculate.tokens, runner.chunk - 1);
    runner.prepareChecks(tokens);
    this.#drafter = new Drafter({ ...speculate, tokens }, ids, this.#costs);
  }

  /** What drafts came to so far; undefined where none are made. */
  get speculation(): Speculation | undefined {
    if (this.#drafter === undefined) return undefined;
    return { checks: this.#checks, drafted: this.#drafted, accepted: this.#accepted };
  }

  /** Processes the prompt; the token after it. */
  async first(): Promise<number> {
    const { runner, ids, options, hooks, reuse, sparse } = this.#generation;
    this.#generated = 1;
    return runner.prefill({
      ids,
      sparse: attendsSparsely(options.attention, ids.length, sparse),
      draw: this.#draws.next(),
      reuse,
      onChunk: (processed, total) => hooks.onPrefill?.({ processed, total }),
      signal: hooks.signal,
      times: options.profile ? this.#prefillTimes : undefined,
    });
  }

  /** Where the time went; the last query is computed again for it. */
  async profile(): Promise<Profile> {
    const { runner } = this.#generation;
    await runner.profile(new OpTimes());
    const step = new OpTimes();
    for (let i = 0; i < PROFILED_STEPS; i++) await runner.profile(step);
    return { prefill: this.#prefillTimes.list(), decode: step.list(PROFILED_STEPS) };
  }

  /** The token after `token`, which came before it. */
  async after(token: number): Promise<number> {
    const { runner } = this.#generation;
    this.#drafter?.push(token);
    const draft = this.#drafter?.draft(this.#mostDrafted()) ?? [];
    // A draft is of what follows the last token that is known: tokens that are ahead are looked at before.
    if (draft.length > 0 && runner.ahead === 0) await this.#check(draft);
    const stands = runner.nextStands;
    const before = performance.now();
    if (draft.length === 0) this.#enqueueSteps();
    this.#generated++;
    const next = await runner.next();
    if (!stands) this.#costs.step((performance.now() - before) / 1000);
    return next;
  }

  /**
   * Enqueues the next step and, where that keeps a device busy, the one after it: some may be ahead already. Not beyond the
   * tokens that are wanted at most.
   */
  #enqueueSteps(): void {
    const { runner, options, contextLength } = this.#generation;
    while (runner.ahead < runner.mostAhead && this.#generated + runner.ahead < options.maxTokens && runner.length + runner.ahead < contextLength) {
      runner.enqueue(this.#sparseAt(runner.length + runner.ahead), this.#draws.next());
    }
  }

  async #check(draft: readonly number[]): Promise<void> {
    const { runner } = this.#generation;
    const before = performance.now();
    const accepted = await runner.check(draft, this.#sparseAt(runner.length), this.#draws.peek(draft.length + 1));
    this.#costs.pass(draft.length + 1, (performance.now() - before) / 1000);
    for (let i = 0; i <= accepted; i++) this.#draws.next();
    this.#checks++;
    this.#drafted += draft.length;
    this.#accepted += accepted;
  }

  /**
   * How many tokens may be drafted: what context and answer have room for, and no further than where attention switches,
   * since the rows of one pass all attend alike.
   */
  #mostDrafted(): number {
    const { runner, options, contextLength, sparse } = this.#generation;
    const { length } = runner;
    const rows = Math.min(contextLength - length, options.maxTokens - this.#generated, runner.chunk);
    const dense = options.attention === "auto" && !this.#sparseAt(length);
    return (dense && sparse !== undefined ? Math.min(rows, sparse.denseLen - 1 - length) : rows) - 1;
  }

  /** Does the query at a position attend sparsely? */
  #sparseAt(position: number): boolean {
    const { options, sparse } = this.#generation;
    return attendsSparsely(options.attention, position + 1, sparse);
  }
}
