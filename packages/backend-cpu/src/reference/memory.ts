/** Counts the bytes of the reference backend and refuses what exceeds its limit. */
import { ConfigError, OutOfMemoryError } from "@infllm/tensor";

export class Memory {
  #used = 0;

  constructor(readonly limit: number) {
    if (!(limit > 0)) throw new ConfigError(`referenceBackend: memoryLimit is ${limit}; it must be a positive number of bytes.`);
  }

  get used(): number {
    return this.#used;
  }

  get available(): number {
    return this.limit - this.#used;
  }

  /** Zeroed f32 memory and the function that gives it back (once). @throws OutOfMemoryError */
  f32(what: string, length: number): { readonly data: Float32Array; release(): void } {
    return this.take(what, length * 4, () => new Float32Array(length));
  }

  /** Memory made by `create`, and the function that gives it back (once). @throws OutOfMemoryError */
  take<A>(what: string, bytes: number, create: () => A): { readonly data: A; release(): void } {
    if (bytes > this.available) throw this.#tooLittle(what, bytes);
    let data: A;
    try {
      data = create();
    } catch (error) {
      // The engine refuses arrays beyond its own limits with a RangeError.
      if (error instanceof RangeError) throw this.#tooLittle(what, bytes);
      throw error;
    }
    this.#used += bytes;
    let held = true;
    const release = (): void => {
      if (held) this.#used -= bytes;
      held = false;
    };
    return { data, release };
  }

  #tooLittle(what: string, bytes: number): OutOfMemoryError {
    return new OutOfMemoryError(what, bytes, this.available, "Ask for less, release something, or raise memoryLimit.");
  }
}
