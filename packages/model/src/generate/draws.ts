import { random } from "@infllm/tensor";
import type { ResolvedOptions } from "./options.ts";
import type { Draw } from "./passes.ts";

/** Largest number below 1 in f32: a uniform draw rounded up to 1 would be outside its range. */
const BELOW_ONE = 1 - 2 ** -24;

/** One draw for each token of an answer, the same for the same seed however the tokens are computed. */
export class Draws {
  readonly #options: ResolvedOptions;
  readonly #uniform: () => number;
  readonly #waiting: Draw[] = [];

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#uniform = random(options.seed).uniform;
  }

  /** The draw of the next token. */
  next(): Draw {
    return this.#waiting.shift() ?? this.#make();
  }

  /** The draws of the next `count` tokens, which `next` will give again. */
  peek(count: number): readonly Draw[] {
    while (this.#waiting.length < count) this.#waiting.push(this.#make());
    return this.#waiting.slice(0, count);
  }

  #make(): Draw {
    const { temperature, topK, topP } = this.#options;
    return { temperature, topK, topP, uniform: Math.min(this.#uniform(), BELOW_ONE) };
  }
}
