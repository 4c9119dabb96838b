/** Hands out the pages of a cache, lowest number first, and takes them back. */
import { OutOfMemoryError } from "@infllm/tensor";

export class PagePool {
  readonly #free: number[];

  constructor(
    readonly pages: number,
    readonly pageBytes: number,
  ) {
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  /** @throws OutOfMemoryError when fewer than `count` are free; none is taken then. */
  take(count: number): number[] {
    if (count > this.#free.length) {
      throw new OutOfMemoryError(
        `The KV cache: ${count} more pages`,
        count * this.pageBytes,
        this.#free.length * this.pageBytes,
        "Release a sequence, or allocate the cache for more sequences.",
      );
    }
    return count <= 0 ? [] : this.#free.splice(this.#free.length - count).reverse();
  }

  give(pages: readonly number[]): void {
    this.#free.push(...[...pages].reverse());
  }
}
