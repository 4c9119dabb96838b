import type { Interrupts } from "./io.ts";

/**
 * Ctrl-C handling: the first press aborts the innermost running work, the second one of the same work kills. Nothing
 * is handled until a command asks for a signal: one that does not, and may compute without a pause, ends at once.
 */
export class InterruptHandler implements Interrupts {
  readonly #whole = new AbortController();
  #current = this.#whole;
  #listening = false;

  constructor(
    readonly kill: () => void,
    readonly listen: (press: () => void) => void = () => {},
  ) {}

  get signal(): AbortSignal {
    this.#start();
    return this.#whole.signal;
  }

  /** Whether the command was told to stop. */
  get interrupted(): boolean {
    return this.#whole.signal.aborted;
  }

  readonly press = (): void => {
    if (this.#current.signal.aborted) this.kill();
    else this.#current.abort();
  };

  async scoped<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#start();
    const outer = this.#current;
    this.#current = new AbortController();
    try {
      return await work(this.#current.signal);
    } finally {
      this.#current = outer;
    }
  }

  #start(): void {
    if (!this.#listening) this.listen(this.press);
    this.#listening = true;
  }
}
