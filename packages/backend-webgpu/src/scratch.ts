/** Temporary memory of ops: kept from one op to the next, and a recorded step's own while it is recorded. */
import type { Allocation, BufferPool } from "./buffer-pool.ts";

/** What a step being recorded takes; its launches refer to it as long as it lives. */
export interface RecordedMemory {
  /** Shared by its ops, one after the other. */
  readonly scratch: { readonly slot: number; readonly allocation: Allocation }[];
  /** Kept from the op that fills it for those after it. */
  readonly kept: Allocation[];
}

export class Scratch {
  readonly #slots = new Map<number, Allocation>();
  #kept: Allocation | undefined;

  constructor(private readonly pool: BufferPool) {}

  /** At least `bytes` bytes for one op; pieces of different slots are different buffers. */
  piece(what: string, slot: number, bytes: number, recording: RecordedMemory | undefined): Allocation {
    if (recording !== undefined) {
      // Launches recorded before keep the smaller piece; the ops run one after the other and may share the largest.
      const fits = recording.scratch.find((each) => each.slot === slot && each.allocation.bytes >= bytes);
      if (fits !== undefined) return fits.allocation;
      const allocation = this.pool.allocate(what, bytes);
      recording.scratch.push({ slot, allocation });
      return allocation;
    }
    const known = this.#slots.get(slot);
    if (known !== undefined && known.bytes >= bytes) return known;
    known?.free();
    this.#slots.delete(slot);
    const allocation = this.pool.allocate(what, bytes);
    this.#slots.set(slot, allocation);
    return allocation;
  }

  /** At least `bytes` bytes until the next call. */
  kept(what: string, bytes: number, recording: RecordedMemory | undefined): Allocation {
    if (recording !== undefined) {
      const allocation = this.pool.allocate(what, bytes);
      recording.kept.push(allocation);
      return allocation;
    }
    if (this.#kept === undefined || this.#kept.bytes < bytes) {
      this.#kept?.free();
      this.#kept = undefined;
      this.#kept = this.pool.allocate(what, bytes);
    }
    return this.#kept;
  }
}

export function heldBy({ scratch, kept }: RecordedMemory): Allocation[] {
  return [...scratch.map(({ allocation }) => allocation), ...kept];
}
