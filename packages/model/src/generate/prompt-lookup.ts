/**
 * Finds how a text may go on: as it did the last time that its last tokens stood there (prompt lookup decoding, A. Saxena
 * 2023). The index grows with every token, so that a lookup costs the same at any length.
 */

/** Tokens that must agree, at most and at least. */
export interface NgramSizes {
  readonly longest: number;
  readonly shortest: number;
}

/** An earlier place that reads as the text ends. */
export interface Match {
  /** Index of the token that followed there. */
  readonly next: number;
  /** Tokens that agree. */
  readonly length: number;
}

const FIRST_ROOM = 1024;

export class PromptLookup {
  /** By tokens that agree: the hash of a run of so many tokens → index of the token after its latest place. */
  readonly #after = new Map<number, Map<number, number>>();
  #tokens = new Int32Array(FIRST_ROOM);
  #length = 0;

  constructor(readonly sizes: NgramSizes) {
    for (let size = sizes.longest; size >= sizes.shortest; size--) this.#after.set(size, new Map());
  }

  /** The token at an index. */
  at(index: number): number {
    return this.#tokens[index] ?? -1;
  }

  push(token: number): void {
    // Runs are entered when it is known what follows them, so the text's own end never matches itself.
    for (const [size, after] of this.#after) {
      if (this.#length >= size) after.set(this.#hash(size), this.#length);
    }
    if (this.#length === this.#tokens.length) {
      const larger = new Int32Array(2 * this.#length);
      larger.set(this.#tokens);
      this.#tokens = larger;
    }
    this.#tokens[this.#length++] = token;
  }

  /** The latest place where most of the last tokens agree. */
  match(): Match | undefined {
    for (const [size, after] of this.#after) {
      if (this.#length < size) continue;
      const next = after.get(this.#hash(size));
      if (next !== undefined && this.#agrees(next, size)) return { next, length: size };
    }
    return undefined;
  }

  /** `count` tokens from a match on; past the end of the text, what was drafted goes on repeating. */
  follow({ next }: Match, count: number): number[] {
    const draft: number[] = [];
    for (let i = 0; i < count; i++) draft.push(next + i < this.#length ? this.at(next + i) : (draft[next + i - this.#length] ?? -1));
    return draft;
  }

  /** Do the `size` tokens before `next` read as the last ones? Hashes alone could mislead. */
  #agrees(next: number, size: number): boolean {
    for (let back = 1; back <= size; back++) {
      if (this.#tokens[next - back] !== this.#tokens[this.#length - back]) return false;
    }
    return true;
  }

  /** 30 bits, which engines keep unboxed, of the last `size` tokens. */
  #hash(size: number): number {
    let hash = size;
    for (let i = this.#length - size; i < this.#length; i++) {
      hash = Math.imul(hash ^ this.at(i), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash & 0x3fffffff;
  }
}
