/**
 * Copies to the GPU in the stream's order, without waiting for it: data is taken into pinned memory at once, and fetched from
 * there. Two pieces of it take turns. Files are read into pinned memory that is lent, and fetched from where they lie.
 */
import { UsageError, formatBytes } from "@infllm/tensor";
import type { UploadMemory } from "@infllm/tensor";
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

/** Pinned memory in the hands of whoever reads files. */
interface Lent extends Piece {
  /** Copies from it were enqueued since the last wait. */
  used: boolean;
  /** Told of its return. */
  readonly onReturn: (() => void)[];
}

export class Uploads {
  readonly #pieces: Piece[] = [];
  readonly #lent = new Map<ArrayBufferLike, Lent>();
  #recalled = false;
  /** Of the piece that is being filled. */
  #turn = 0;
  #filled = 0;

  constructor(
    private readonly context: Context,
    private readonly memory: PinnedMemory,
    private readonly stream: number,
  ) {}

  /**
   * `from` may be changed as soon as this returns, unless it is lent. Waits only where both pieces are full of copies that
   * were not made yet.
   */
  write(to: number, from: ArrayBufferView): void {
    this.#requireOpen();
    const lent = this.#lent.get(from.buffer);
    if (lent !== undefined) return this.#fetch(to, lent, from);
    const data = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
    if (this.#filled + Math.min(data.length, PIECE_BYTES) > PIECE_BYTES) this.#next();
    for (let at = 0; at < data.length; at += PIECE_BYTES) {
      if (at > 0) this.#next();
      this.#copy(to + at, data.subarray(at, at + PIECE_BYTES));
    }
  }

  /** @throws OutOfMemoryError */
  lend(bytes: number): UploadMemory {
    this.#requireOpen();
    const lent: Lent = { ...this.#make(bytes), used: false, onReturn: [] };
    const { buffer } = lent.memory.bytes;
    this.#lent.set(buffer, lent);
    return {
      bytes: lent.memory.bytes,
      fetched: async () => {
        if (!lent.used) return;
        this.context.use();
        await lent.fetched.wait();
        lent.used = false;
      },
      release: () => {
        if (!this.#lent.delete(buffer)) return;
        lent.fetched.release();
        lent.memory.free();
        for (const tell of lent.onReturn) tell();
      },
    };
  }

  /** Refuses further copies. Resolves when all that was lent came back, since files may be read into it; undefined where nothing is lent. */
  recall(): Promise<unknown> | undefined {
    this.#recalled = true;
    if (this.#lent.size === 0) return undefined;
    return Promise.all([...this.#lent.values()].map(({ onReturn }) => new Promise<void>((resolve) => onReturn.push(resolve))));
  }

  /** After `recall`. */
  release(): void {
    for (const { fetched } of this.#pieces.splice(0)) fetched.release();
  }

  #copy(to: number, data: Uint8Array): void {
    const { memory } = this.#piece();
    memory.bytes.set(data, this.#filled);
    this.#enqueue(to, memory.address + this.#filled, data.length);
    this.#filled += Math.ceil(data.length / ALIGNMENT) * ALIGNMENT;
  }

  #requireOpen(): void {
    if (this.#recalled) throw new UsageError("The cuda backend is being closed; nothing can be copied to it any more.");
  }

  #fetch(to: number, lent: Lent, { byteOffset, byteLength }: ArrayBufferView): void {
    this.#enqueue(to, lent.memory.address + byteOffset, byteLength);
    lent.fetched.record(this.stream);
    lent.used = true;
  }

  #enqueue(to: number, from: number, bytes: number): void {
    const status = this.context.driver.api.cuMemcpyHtoDAsync_v2(to, from, bytes, this.stream);
    this.context.check(status, `copying ${formatBytes(bytes)} to the GPU`);
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
    const made = this.#make(PIECE_BYTES);
    this.#pieces[this.#turn] = made;
    return made;
  }

  #make(bytes: number): Piece {
    return { memory: this.memory.allocate(bytes), fetched: new Event(this.context) };
  }
}
