/** Reading what comes next while what came before is checked, converted and uploaded. */
import type { WeightSource } from "../formats/weight-source.ts";

/** Rows of a tensor that are read at once. */
export interface Piece {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Of these rows, as stored. */
  readonly bytes: number;
}

/**
 * Pieces in memory at a time: one in use, the others read or being read. One read after the other leaves disks and
 * connections idle while JavaScript is busy; three give all that four do.
 */
export const PIECES_IN_MEMORY = 4;

/**
 * Gives the pieces in order, and reads up to `PIECES_IN_MEMORY - 1` ahead, in memory that is used again: `data` is valid
 * until the next piece is asked for. A read that fails is thrown where its piece would have been given; none is under way
 * any more when the generator has ended, however it ends.
 * @throws what a read throws; what `signal` was aborted with
 */
export async function* readAhead<P extends Piece>(
  source: Pick<WeightSource, "readRows">,
  pieces: readonly P[],
  signal?: AbortSignal,
): AsyncGenerator<{ readonly piece: P; readonly data: Uint8Array }> {
  const largest = pieces.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  const waiting = pieces.values();
  const reading: { readonly piece: P; readonly memory: Uint8Array; readonly data: Promise<Uint8Array> }[] = [];
  const start = (memory: Uint8Array): void => {
    const { value: piece } = waiting.next();
    if (piece === undefined) return;
    const data = (async () => source.readRows(piece.name, piece.from, piece.to, memory))();
    // Nobody may be waiting for it yet; it is thrown when its turn comes.
    data.catch(() => undefined);
    reading.push({ piece, memory, data });
  };
  try {
    signal?.throwIfAborted();
    for (let i = 0; i < Math.min(PIECES_IN_MEMORY, pieces.length); i++) start(new Uint8Array(largest));
    for (let next = reading[0]; next !== undefined; next = reading[0]) {
      const data = await next.data;
      signal?.throwIfAborted();
      yield { piece: next.piece, data };
      signal?.throwIfAborted();
      reading.shift();
      start(next.memory);
    }
  } finally {
    await Promise.allSettled(reading.map(({ data }) => data));
  }
}
