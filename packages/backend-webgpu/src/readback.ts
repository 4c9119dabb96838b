/**
 * Bytes from the GPU to the host. Small reads, such as a sampled token, go through a ring of buffers that stay allocated:
 * the copy is part of the submit that makes the number, and the next step may be submitted before the last was mapped.
 */
import type { Allocation } from "./buffer-pool.ts";
import { bufferUsage, mapRead } from "./gpu-constants.ts";
import type { Machine } from "./machine.ts";

const RING = 4;
const SMALL_BYTES = 4096;
/** Large reads go in pieces of this size at most. */
const PIECE_BYTES = 64 * 2 ** 20;
const USAGE = bufferUsage.mapRead | bufferUsage.copyTarget;

export class Readback {
  readonly #ring: { readonly allocation: Allocation; busy: boolean }[] = [];

  constructor(private readonly machine: Machine) {}

  /** A copy of `bytes` bytes from `offset`; waits for everything enqueued before. Offset may be any. */
  async read({ buffer }: Allocation, offset: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const first = Math.floor(offset / 4) * 4;
    const end = Math.ceil((offset + bytes) / 4) * 4;
    const all = new Uint8Array(end - first);
    const pieces: Promise<void>[] = [];
    for (let at = first; at < end; at += PIECE_BYTES) {
      const size = Math.min(PIECE_BYTES, end - at);
      pieces.push(this.#piece(buffer, at, all.subarray(at - first, at - first + size)));
    }
    await Promise.all(pieces);
    return all.subarray(offset - first, offset - first + bytes);
  }

  close(): void {
    for (const { allocation } of this.#ring.splice(0)) allocation.free();
  }

  async #piece(buffer: GPUBuffer, offset: number, to: Uint8Array): Promise<void> {
    const { machine } = this;
    const slot = this.#slot(to.length);
    const target = slot?.allocation ?? machine.pool.allocate("A copy for reading", to.length, USAGE);
    try {
      machine.copy(buffer, offset, target.buffer, 0, to.length);
      machine.flush();
      await machine.context.wait(target.buffer.mapAsync(mapRead, 0, to.length));
      machine.pool.check();
      to.set(new Uint8Array(target.buffer.getMappedRange(0, to.length)));
      target.buffer.unmap();
    } catch (error) {
      machine.pool.check();
      throw error;
    } finally {
      if (slot) slot.busy = false;
      else target.free();
    }
  }

  /** A free buffer of the ring; undefined when the read is too large for it or all are in use. */
  #slot(bytes: number): { readonly allocation: Allocation; busy: boolean } | undefined {
    if (bytes > SMALL_BYTES) return undefined;
    let slot = this.#ring.find(({ busy }) => !busy);
    if (slot === undefined && this.#ring.length < RING) {
      slot = { allocation: this.machine.pool.allocate("A copy for reading", SMALL_BYTES, USAGE), busy: false };
      this.#ring.push(slot);
    }
    if (slot !== undefined) slot.busy = true;
    return slot;
  }
}
