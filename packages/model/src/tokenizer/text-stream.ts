import type { Tokenizer } from "./tokenizer.ts";

const replacement = "\uFFFD";
/** Tokens after which an incomplete character is taken for what it is: broken. UTF-8 needs four bytes at most. */
const PATIENCE = 8;

/**
 * Turns token ids into text as they come. A character whose bytes are spread over several tokens appears once it is
 * complete; a token is decoded together with its predecessors, since some tokenizers' spaces depend on them.
 */
export class TextStream {
  /** Tokens from the start of the last piece on: context of the one being decoded. */
  #ids: number[] = [];
  /** How many of them are already emitted. */
  #emitted = 0;

  constructor(readonly tokenizer: Tokenizer) {}

  /** Text that the token completes; may be empty. */
  push(id: number): string {
    this.#ids.push(id);
    const before = this.tokenizer.decode(this.#ids.slice(0, this.#emitted));
    const text = this.tokenizer.decode(this.#ids);
    const waiting = this.#ids.length - this.#emitted < PATIENCE && text.endsWith(replacement);
    if (waiting || text.length < before.length) return "";
    this.#ids = this.#ids.slice(this.#emitted);
    this.#emitted = this.#ids.length;
    return text.slice(before.length);
  }

  /** What is left at the end, incomplete characters as U+FFFD. */
  flush(): string {
    const before = this.tokenizer.decode(this.#ids.slice(0, this.#emitted));
    const text = this.tokenizer.decode(this.#ids);
    this.#ids = [];
    this.#emitted = 0;
    return text.slice(before.length);
  }
}
