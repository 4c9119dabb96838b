import type { Allocation } from "../buffer-pool.ts";
import type { Machine } from "../machine.ts";

const THREADS = 64;

/**
 * Host bytes into a buffer at any offset, in order with the ops. Queues write whole words only: where the ends share
 * theirs with other numbers, a kernel merges them.
 */
export function writeBytes(machine: Machine, to: Allocation, offset: number, data: Uint8Array): void {
  if (offset % 4 === 0 && data.length % 4 === 0) {
    machine.write(to.buffer, offset, data);
    return;
  }
  const shift = offset % 4;
  const words = Math.ceil((shift + data.length) / 4);
  const padded = new Uint8Array(4 * words);
  padded.set(data, shift);
  const [staged] = machine.scratch("write", padded.length);
  if (staged === undefined) return;
  machine.write(staged.allocation.buffer, staged.offset, padded);
  const { buffer } = to;
  const first = Math.floor(offset / 256) * 256;
  const window = { allocation: to, offset: first, bytes: Math.min(buffer.size - first, machine.bindingBytes), start: 0 };
  machine.launch({
    kernel: "write-bytes",
    element: "f32",
    bind: [staged, window],
    params: (p) => p.u32(words, (offset - shift - first) / 4, shift, shift + data.length),
    groups: [Math.min(1024, Math.ceil(words / THREADS))],
    cost: words,
  });
  machine.changed();
}
