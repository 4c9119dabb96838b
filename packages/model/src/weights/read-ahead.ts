/** Reading what comes next while what came before is checked, converted and uploaded. */
import type { UploadMemory } from "@infllm/tensor";
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
 * Pieces in memory at a time: one in use, the others being uploaded, being read, or read. One read after the other leaves
 * disks and connections idle while JavaScript is busy.
 */
export const PIECES_IN_MEMORY = 4;

export interface ReadAheadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Where pieces are read into; plain memory when absent. */
  readonly memory?: ((bytes: number) => UploadMemory) | undefined;
}

interface Reading<P> {
  readonly piece: P;
  readonly memory: UploadMemory;
  readonly data: Promise<Uint8Array>;
}

/**
 * Gives the pieces in order, and reads up to `PIECES_IN_MEMORY - 1` ahead, in memory that is used again: `data` is valid
 * until the next piece is asked for. Reads begin in order, and each as soon as its memory was fetched from. One that fails is
 * thrown where its piece would have been given; none is under way any more when the generator has ended, however it ends.
 * @throws what a read throws; what `signal` was aborted with; OutOfMemoryError
 */
export async function* readAhead<P extends Piece>(
  source: Pick<WeightSource, "readRows">,
  pieces: readonly P[],
  { signal, memory: allocate = plainMemory }: ReadAheadOptions = {},
): AsyncGenerator<{ readonly piece: P; readonly data: Uint8Array }> {
  const largest = pieces.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  const waiting = pieces.values();
  const memories: UploadMemory[] = [];
  const reading: Reading<P>[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  const start = (memory: UploadMemory): void => {
    const { value: piece } = waiting.next();
    if (piece === undefined) return;
    const ready = Promise.all([memory.fetched(), turn]);
    const data = ready.then(() => source.readRows(piece.name, piece.from, piece.to, memory.bytes));
    // Nobody may be waiting for it yet; it is thrown when its turn comes.
    data.catch(() => undefined);
    turn = ready.catch(() => undefined);
    reading.push({ piece, memory, data });
  };
  try {
    signal?.throwIfAborted();
    while (memories.length < Math.min(PIECES_IN_MEMORY, pieces.length)) memories.push(allocate(largest));
    for (const memory of memories) start(memory);
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
    await Promise.allSettled(memories.map((memory) => memory.fetched()));
    for (const memory of memories) memory.release();
  }
}

/** Memory that uploads copy from before they return. */
function plainMemory(bytes: number): UploadMemory {
  return { bytes: new Uint8Array(bytes), fetched: async () => undefined, release: () => undefined };
}
