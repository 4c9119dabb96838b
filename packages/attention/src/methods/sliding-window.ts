/**
 * Sliding window with attention sinks (StreamingLLM, arXiv 2309.17453): a query reads the first `sinks` tokens and the
 * last `window`, its own among them.
 *
 * Positions are those in the rolling cache, as in the paper: what is kept is numbered 0, 1, … without gaps. The keys of
 * the window keep their distances; the sinks move up to just before the window. RoPE knows distances alone, so instead
 * of rotating the cached keys again, the query is rotated for the sinks as if it stood at `sinks + window − 1`.
 */
import { AttendParts } from "./attend-parts.ts";
import type { AttendStep, AttentionMethod, LayerPlace, SequenceAttention } from "./method.ts";
import { count, methodOptions } from "./options.ts";
import { rotateRows } from "./rotate-rows.ts";
import { sharedLists, windowOf } from "./token-lists.ts";

export interface SlidingWindowOptions {
  /** Tokens from the start that stay. */
  readonly sinks: number;
  /** Most recent tokens, the query's own included. */
  readonly window: number;
}

/** By default the 1536 tokens that the embedded model's sparse attention reads. */
export function slidingWindow(options: Partial<SlidingWindowOptions> = {}): AttentionMethod {
  const settings = methodOptions<SlidingWindowOptions>("sliding-window", options, { sinks: count(4, 0), window: count(1532) });
  return {
    name: "sliding-window",
    options: { ...settings },
    model: { attention: "dense" },
    begin: (place) => new SlidingWindowAttention(place, settings),
  };
}

class SlidingWindowAttention implements SequenceAttention {
  readonly #parts: AttendParts;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: SlidingWindowOptions,
  ) {
    this.#parts = new AttendParts(place);
  }

  attend(step: AttendStep): void {
    const { sinks, window } = this.options;
    const { first, rows, k, v } = step;
    const inWindow = { k, v, ...windowOf(step, this.place, window) };
    if (sinks === 0 || first + rows <= window) {
      this.#parts.attend(step, [inWindow]);
      return;
    }
    const atSinks = {
      q: this.#asInCache(step),
      k, v,
      lists: sharedLists(rows, this.place, (lists) => lists.list([[0, Math.min(sinks, first + rows)]])),
      boundsOf: (row: number) => [0, first + row - window] as const,
    };
    this.#parts.attend(step, [inWindow, atSinks]);
  }

  release(): void {
    this.#parts.release();
  }

  /** The queries where the rolling cache has them: at its end, once it is full. */
  #asInCache({ q, first }: AttendStep): Float32Array {
    const { backend, headDim, heads, rotation } = this.place;
    const last = this.options.sinks + this.options.window - 1;
    const rows = backend.host.readNow(q) as Float32Array;
    return rotateRows(rows, headDim, heads * headDim, rotation, (row) => Math.min(0, last - first - row));
  }
}
