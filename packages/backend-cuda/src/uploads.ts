/**
 * Copies to the GPU in the stream's order, without waiting for it: data is taken into pinned memory at once, and fetched from
 * there. Two pieces of it take turns, so that weights are read from disk into one while the GPU fetches the other.
 */
import { formatBytes } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { Event } from "./event.ts";
import type { Pinned, PinnedMemory } from "./pinned-memory.ts";

const PIECE_BYTES = 8 * 1024 * 1024;
const PIECES = 2;
/** Where a copy begins: the widest that an engine moves at once. */
const ALIGNMENT = 64;

interface Piece {
  readonly memory: Pinned;
  /** After the last copy from it. */
  readonly fetched: Event;
}

export class Uploads {
  readonly #pieces: Piece[] = [];
  /** Of the piece that is being filled. */
  #turn = 0;
  #filled = 0;

  constructor(
    private readonly context: Context,
    private readonly memory: PinnedMemory,
    private readonly stream: number,
  ) {}

  /** `from` may be changed as soon as this returns. Waits only where both pieces are full of copies that were not made yet. */
  write(to: number, from: ArrayBufferView): void {
    const data = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
    if (this.#filled + Math.min(data.length, PIECE_BYTES) > PIECE_BYTES) this.#next();
    for (let at = 0; at < data.length; at += PIECE_BYTES) {
      if (at > 0) this.#next();
      this.#copy(to + at, data.subarray(at, at + PIECE_BYTES));
    }
  }

  release(): void {
    for (const { fetched } of this.#pieces.splice(0)) fetched.release();
  }

  #copy(to: number, data: Uint8Array): void {
    const { memory } = this.#piece();
    memory.bytes.set(data, this.#filled);
    this.context.check(
      this.context.driver.api.cuMemcpyHtoDAsync_v2(to, memory.address + this.#filled, data.length, this.stream),
      `copying ${formatBytes(data.length)} to the GPU`,
    );
    this.#filled += Math.ceil(data.length / ALIGNMENT) * ALIGNMENT;
  }

  /** Turns to the other piece, once all of it was fetched. */
  #next(): void {
    this.#piece().fetched.record(this.stream);
    this.#turn = (this.#turn + 1) % PIECES;
    this.#filled = 0;
    this.#pieces[this.#turn]?.fetched.block();
  }

  #piece(): Piece {
    const piece = this.#pieces[this.#turn];
    if (piece !== undefined) return piece;
    const made = { memory: this.memory.allocate(PIECE_BYTES), fetched: new Event(this.context) };
    this.#pieces[this.#turn] = made;
    return made;
  }
}
