/** Where things lie in an address range: first fit over a sorted list of gaps, everything on 64-byte boundaries. */

const ALIGNMENT = 64;

interface Gap {
  from: number;
  size: number;
}

export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

export class Heap {
  readonly #gaps: Gap[];
  #used = 0;

  /** Addresses `[from, to)`, both multiples of 64. */
  constructor(from: number, to: number) {
    this.#gaps = to > from ? [{ from, size: to - from }] : [];
  }

  /** Bytes handed out, alignment included. */
  get used(): number {
    return this.#used;
  }

  /** The most that one allocation can take. */
  get largest(): number {
    return this.#gaps.reduce((most, gap) => Math.max(most, gap.size), 0);
  }

  /** An address (any, for nothing), or undefined when no gap is large enough. */
  take(bytes: number): number | undefined {
    if (bytes === 0) return 0;
    const size = aligned(bytes);
    const index = this.#gaps.findIndex((gap) => gap.size >= size);
    const gap = this.#gaps[index];
    if (gap === undefined) return undefined;
    const at = gap.from;
    gap.from += size;
    gap.size -= size;
    if (gap.size === 0) this.#gaps.splice(index, 1);
    this.#used += size;
    return at;
  }

  /** Gives back what `take(bytes)` returned. */
  give(at: number, bytes: number): void {
    if (bytes === 0) return;
    const size = aligned(bytes);
    this.#used -= size;
    let index = this.#gaps.findIndex((gap) => gap.from > at);
    if (index < 0) index = this.#gaps.length;
    this.#gaps.splice(index, 0, { from: at, size });
    this.#joinWithNext(index);
    if (index > 0) this.#joinWithNext(index - 1);
  }

  #joinWithNext(index: number): void {
    const gap = this.#gaps[index];
    const next = this.#gaps[index + 1];
    if (gap === undefined || next === undefined || gap.from + gap.size !== next.from) return;
    gap.size += next.size;
    this.#gaps.splice(index + 1, 1);
  }
}
