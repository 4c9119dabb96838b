/** InfLLM's block memory and attention of one layer over one sequence; see `infllm-v1.ts`. */
import type { DeviceTensor } from "@infllm/tensor";
import { AttendParts } from "./attend-parts.ts";
import { InfllmV1Memory } from "./infllm-v1-memory.ts";
import type { InfllmV1Options } from "./infllm-v1.ts";
import type { AttendStep, LayerPlace, SequenceAttention } from "./method.ts";
import { rotateRows } from "./rotate-rows.ts";
import { sharedLists, windowOf } from "./token-lists.ts";
import type { TokenRange } from "./token-lists.ts";

export class InfllmV1Attention implements SequenceAttention {
  readonly #parts: AttendParts;
  readonly #memory: InfllmV1Memory;
  /** Keys without rotation, `[contextLength, kvHeads * headDim]`. */
  readonly #farKeys: DeviceTensor;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: InfllmV1Options,
  ) {
    const { backend, kvHeads, headDim, contextLength } = place;
    this.#parts = new AttendParts(place);
    this.#memory = new InfllmV1Memory(place, options);
    this.#farKeys = backend.allocate(backend.capabilities.activation, [contextLength, kvHeads * headDim]);
  }

  attend(step: AttendStep): void {
    for (let from = 0; from < step.rows; from += this.options.chunk) {
      const rows = Math.min(this.options.chunk, step.rows - from);
      const some = { rows: [from, from + rows] } as const;
      this.#chunk({ ...step, first: step.first + from, rows, q: step.q.view(some), out: step.out.view(some) });
    }
  }

  release(): void {
    this.#parts.release();
    this.#farKeys.release();
  }

  #chunk(step: AttendStep): void {
    const { backend, headDim, heads, kvHeads, rotation } = this.place;
    const { localWindow } = this.options;
    const { first, rows, k, v } = step;
    const end = first + rows;
    const q = backend.host.readNow(step.q) as Float32Array;
    const keys = backend.host.readNow(k.view({ rows: [first, end] })) as Float32Array;
    const farKeys = rotateRows(keys, headDim, kvHeads * headDim, rotation, (row) => -(first + row));
    backend.write(this.#farKeys, farKeys, first);

    const local = { k, v, ...windowOf(step, this.place, localWindow) };
    if (end <= localWindow) this.#parts.attend(step, [local]);
    else {
      const farQueries = rotateRows(q, headDim, heads * headDim, rotation, (row) => localWindow - first - row);
      const seen = this.#farTokens(farQueries, end);
      const far = {
        q: farQueries,
        k: this.#farKeys, v,
        lists: sharedLists(rows, this.place, (lists) => lists.list(seen)),
        boundsOf: (row: number) => [0, first + row - localWindow] as const,
      };
      this.#parts.attend(step, [local, far]);
    }
    this.#memory.append(q, keys, farKeys);
  }

  /** What the rows see outside the window, the last row ending at `end`: first tokens, blocks, and what waits to join one. */
  #farTokens(farQueries: Float32Array, end: number): TokenRange[] {
    const { init, joined } = this.#memory;
    const waiting = Math.max(joined, end - this.options.localWindow);
    return [[0, init], ...this.#memory.lookUp(farQueries), [joined, waiting]];
  }
}
