/** One sequence in a KV cache: its length and the pages that hold it. */
import { ConfigError, ShapeError, UsageError } from "@infllm/tensor";
import type { PagePool } from "./page-pool.ts";

export class CachedSequence {
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  #length = 0;
  #released = false;

  /** Made by `KvCache.addSequence`. */
  constructor(
    pool: PagePool,
    readonly blockSize: number,
    /** Tokens the sequence may hold at most. */
    readonly contextLength: number,
  ) {
    this.#pool = pool;
  }

  /** Tokens in the cache, those of the step being prepared included. */
  get length(): number {
    return this.#length;
  }

  /** Page of each block, in order. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Makes room for `count` more tokens. @throws ShapeError past the context, OutOfMemoryError without free pages */
  extend(count: number): void {
    this.#use();
    const length = this.#length + count;
    if (!Number.isInteger(count) || count < 0) {
      throw new ShapeError(`CachedSequence.extend: count is ${count}; it must be a whole number of tokens from 0.`);
    }
    if (length > this.contextLength) {
      throw new ShapeError(
        `The sequence holds ${this.#length} tokens and ${count} more make ${length}, but its context is ` +
          `${this.contextLength}. Shorten the input or allocate the cache with a larger contextLength.`,
      );
    }
    this.#pages.push(...this.#pool.take(Math.ceil(length / this.blockSize) - this.#pages.length));
    this.#length = length;
  }

  /** Forgets the tokens from `length` on; what is appended next takes their place. @throws ConfigError */
  truncate(length: number): void {
    this.#use();
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new ConfigError(`CachedSequence.truncate: ${length} is not allowed; the sequence holds ${this.#length} tokens.`);
    }
    this.#pool.give(this.#pages.splice(Math.ceil(length / this.blockSize)));
    this.#length = length;
  }

  /** Gives all pages back. Safe to call twice; any other use after it throws UsageError. */
  release(): void {
    if (this.#released) return;
    this.truncate(0);
    this.#released = true;
  }

  #use(): void {
    if (this.#released) throw new UsageError("This cached sequence was released. Make another with cache.addSequence().");
  }
}
