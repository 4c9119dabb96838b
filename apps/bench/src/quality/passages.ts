/** The same passages for every method, made when first needed. */
import type { Model } from "@infllm/model";
import { bookIds } from "./book.ts";

export interface PassagesOptions {
  /** Passages of each length. */
  readonly texts: number;
  readonly seed: number;
  /** Source; a public-domain book when absent. */
  readonly text?: string | undefined;
}

/** Passages by their length in tokens. */
export class Passages {
  readonly #made = new Map<number, Promise<number[][]>>();

  constructor(readonly options: PassagesOptions) {}

  /** Token ids of the passages; the same for models of one tokenizer. */
  of(model: Pick<Model, "tokenizer">, length: number): Promise<number[][]> {
    const { texts, seed, text } = this.options;
    const made = this.#made.get(length) ?? Promise.all(Array.from({ length: texts }, (_, i) => bookIds(model, { length, seed: seed + i, text })));
    this.#made.set(length, made);
    return made;
  }

  /** What figures on them depend on. */
  get config(): { readonly texts: number; readonly textCharacters?: number } {
    const { texts, text } = this.options;
    return { texts, ...(text !== undefined && { textCharacters: text.length }) };
  }
}
