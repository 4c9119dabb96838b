/** Decides what to draft: only what is worth its pass, after what recent lookups foresaw and what passes cost. */
import type { PassCosts } from "./pass-costs.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import type { Match, NgramSizes } from "./prompt-lookup.ts";

/** How drafts are made. */
export interface Drafting extends NgramSizes {
  /** Tokens of a draft at most. */
  readonly tokens: number;
  /** Draft only what is worth it, or whatever is found? */
  readonly adaptive: boolean;
}

/**
 * Share of lookups that are taken to be right before there were any, for an agreement of one, two, and three or more tokens:
 * one word in common says little.
 */
const TRUST_AT_FIRST = [0.2, 0.5, 0.7] as const;
/** Weight of the newest lookup in that share: some eight lookups are remembered. */
const NEWEST = 1 / 8;
/** A pass must promise so many times the tokens of plain steps in the same time. */
const LEAST_GAIN = 1.1;

export class Drafter {
  readonly #lookup: PromptLookup;
  readonly #sizes: readonly number[];
  readonly #adaptive: boolean;
  /** By tokens that agree: share of lookups that foresaw the next token. Kept for all lookups, those not checked too. */
  readonly #trust = new Map<number, number>();
  /** What the lookup says about the next token. */
  #match: Match | undefined;

  constructor(
    { tokens, longest, shortest, adaptive }: Drafting,
    prompt: readonly number[],
    private readonly costs: Pick<PassCosts, "known" | "of">,
  ) {
    this.#lookup = new PromptLookup({ longest, shortest });
    this.#sizes = draftSizes(tokens);
    this.#adaptive = adaptive;
    for (const token of prompt) this.#lookup.push(token);
    this.#match = this.#lookup.match();
  }

  /** Takes the token that follows. */
  push(token: number): void {
    if (this.#match !== undefined) {
      const { length, next } = this.#match;
      const trust = this.#trusted(length);
      this.#trust.set(length, trust + NEWEST * ((this.#lookup.at(next) === token ? 1 : 0) - trust));
    }
    this.#lookup.push(token);
    this.#match = this.#lookup.match();
  }

  /** What may follow, `most` tokens at most; empty where a plain step is the better choice. */
  draft(most: number): readonly number[] {
    if (this.#match === undefined) return [];
    const sizes = this.#sizes.filter((size) => size <= most);
    const size = this.#adaptive ? this.#bestSize(this.#trusted(this.#match.length), sizes) : (sizes.at(-1) ?? 0);
    return size === 0 ? [] : this.#lookup.follow(this.#match, size);
  }

  #trusted(agreeing: number): number {
    return this.#trust.get(agreeing) ?? TRUST_AT_FIRST[Math.min(agreeing, TRUST_AT_FIRST.length) - 1] ?? 0;
  }

  /** The number of tokens that promises most in the time of its pass; 0 where that is too little. */
  #bestSize(trust: number, sizes: readonly number[]): number {
    if (!this.costs.known) return 0;
    let best = { size: 0, gain: LEAST_GAIN };
    for (const size of sizes) {
      const gain = expectedTokens(trust, size) / this.costs.of(size + 1);
      if (gain > best.gain) best = { size, gain };
    }
    return best.size;
  }
}

/** Few different numbers of rows, the token before the draft included, so that a step is recorded for each: 2, 4, 8, … */
export function draftSizes(most: number): number[] {
  const sizes: number[] = [];
  for (let rows = 2; rows <= (most + 1) / 2; rows *= 2) sizes.push(rows - 1);
  return [...sizes, most];
}

/** Tokens that a checked draft gives, if each one is right with this probability: those before the first that is not, and one. */
function expectedTokens(right: number, size: number): number {
  let tokens = 1;
  for (let i = 0, all = right; i < size; i++, all *= right) tokens += all;
  return tokens;
}
