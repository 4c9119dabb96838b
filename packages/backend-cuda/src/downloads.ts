/**
 * Copies from the GPU in the stream's order: what the host gets is what the memory held when the copy was asked for, whatever
 * is enqueued while it waits.
 */
import { formatBytes } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { memoryType } from "./driver.ts";
import { Event } from "./event.ts";
import type { Pinned, PinnedMemory } from "./pinned-memory.ts";

/** Bytes of landing places that are kept for the next copies. */
const MOST_KEPT = 8 * 1024 * 1024;
const LEAST_BYTES = 4096;

/** A rectangle of bytes. */
export interface Pitched {
  readonly address: number;
  /** Bytes from one row to the next. */
  readonly pitch: number;
}

interface Landing {
  readonly memory: Pinned;
  readonly landed: Event;
}

export class Downloads {
  readonly #free: Landing[] = [];
  readonly #live = new Set<Landing>();

  constructor(
    private readonly context: Context,
    private readonly memory: PinnedMemory,
    private readonly stream: number,
  ) {}

  /** `rows` runs of `width` bytes, to `to` without gaps. The copy is enqueued before this returns. @throws DeviceLostError */
  async read(to: Uint8Array, from: Pitched, width: number, rows: number): Promise<void> {
    const landing = this.#landing(width * rows);
    try {
      this.#copy(landing.memory.address, from, width, rows);
      landing.landed.record(this.stream);
      await landing.landed.wait();
      to.set(landing.memory.bytes.subarray(0, width * rows));
    } finally {
      this.#giveBack(landing);
    }
  }

  release(): void {
    for (const { landed } of this.#live) landed.release();
    this.#live.clear();
    this.#free.length = 0;
  }

  #copy(to: number, { address, pitch }: Pitched, width: number, rows: number): void {
    const { api } = this.context.driver;
    const status =
      rows === 1 || pitch === width
        ? api.cuMemcpyDtoHAsync_v2(to, address, width * rows, this.stream)
        : api.cuMemcpy2DAsync_v2(
            copy2D({ type: memoryType.device, address, pitch }, { type: memoryType.host, address: to, pitch: width }, width, rows),
            this.stream,
          );
    this.context.check(status, `copying ${formatBytes(width * rows)} from the GPU`);
  }

  /** The smallest free one that is large enough. */
  #landing(bytes: number): Landing {
    const fitting = this.#free.filter(({ memory }) => memory.bytes.length >= bytes);
    const best = fitting.reduce<Landing | undefined>(
      (small, each) => (small !== undefined && small.memory.bytes.length <= each.memory.bytes.length ? small : each), undefined,
    );
    if (best !== undefined) {
      this.#free.splice(this.#free.indexOf(best), 1);
      return best;
    }
    const memory = this.memory.allocate(Math.max(LEAST_BYTES, 2 ** Math.ceil(Math.log2(bytes))));
    const made = { memory, landed: new Event(this.context) };
    this.#live.add(made);
    return made;
  }

  #giveBack(landing: Landing): void {
    // After `release` nothing is kept, and its memory went with the rest.
    if (!this.#live.has(landing)) return;
    const kept = this.#free.reduce((sum, { memory }) => sum + memory.bytes.length, 0);
    if (kept + landing.memory.bytes.length <= MOST_KEPT) {
      this.#free.push(landing);
      return;
    }
    this.#live.delete(landing);
    landing.landed.release();
    landing.memory.free();
  }
}

/** One side of a copy between rectangles. */
export interface CopySide extends Pitched {
  readonly type: (typeof memoryType)[keyof typeof memoryType];
}

/** A `CUDA_MEMCPY2D`: x, y, type, host, device, array, pitch of source and target, then width and height. */
export function copy2D(from: CopySide, to: CopySide, width: number, rows: number): Uint8Array {
  const words = new BigUint64Array(16);
  const set = (index: number, value: number): void => {
    words[index] = BigInt(value);
  };
  const side = (at: number, { type, address, pitch }: CopySide): void => {
    set(at + 2, type);
    set(at + (type === memoryType.host ? 3 : 4), address);
    set(at + 6, pitch);
  };
  side(0, from);
  side(7, to);
  set(14, width);
  set(15, rows);
  return new Uint8Array(words.buffer);
}
