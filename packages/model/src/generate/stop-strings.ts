/**
 * Cuts a stream of text before the first of some strings, wherever the pieces are split. Text that may still become
 * a stop string is held back until it is clear.
 */
export class StopStrings {
  #held = "";
  #stopped: string | undefined;

  constructor(readonly stops: readonly string[]) {}

  /** The stop string that was found. */
  get stopped(): string | undefined {
    return this.#stopped;
  }

  /** Text that is safe to show. */
  push(piece: string): string {
    if (this.#stopped !== undefined) return "";
    this.#held += piece;
    const found = this.#first();
    if (found !== undefined) {
      const shown = this.#held.slice(0, found.at);
      this.#stopped = found.stop;
      this.#held = "";
      return shown;
    }
    const keep = this.#possibleStart();
    const shown = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(this.#held.length - keep);
    return shown;
  }

  /** What was held back when the text ended otherwise. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  #first(): { stop: string; at: number } | undefined {
    let best: { stop: string; at: number } | undefined;
    for (const stop of this.stops) {
      const at = this.#held.indexOf(stop);
      if (at >= 0 && (best === undefined || at < best.at)) best = { stop, at };
    }
    return best;
  }

  /** Length of the longest end of the held text with which a stop string begins. */
  #possibleStart(): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > longest; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
