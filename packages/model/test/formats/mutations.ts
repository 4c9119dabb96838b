/** Damage done to GGUF headers on purpose, and a source that counts what is asked of it. */
import { assertRange } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import fc from "fast-check";

/** Numbers that tempt readers to overflow, to wrap or to allocate. */
const tempting = [0n, 1n, 5n, 9n, 255n, 0x7fffffffn, 0xffffffffn, 2n ** 40n, 2n ** 53n, 2n ** 61n, 2n ** 63n, 2n ** 64n - 1n];

type Change = (file: Uint8Array) => Uint8Array;

function edited(file: Uint8Array, edit: (copy: Uint8Array) => void): Uint8Array {
  const copy = file.slice();
  edit(copy);
  return copy;
}

/** Bytes flipped, cut off, inserted or moved, and 32- or 64-bit numbers replaced, in the first `reach` bytes. */
export function headerChange(reach: number): fc.Arbitrary<Change> {
  const at = fc.integer({ min: 0, max: reach - 1 });
  const flip = fc.tuple(at, fc.integer({ min: 1, max: 255 })).map(([place, mask]): Change => {
    return (file) => edited(file, (copy) => place < copy.length && (copy[place] = (copy[place] ?? 0) ^ mask));
  });
  const cut = at.map((place): Change => (file) => file.slice(0, place));
  const insert = fc.tuple(at, fc.uint8Array({ minLength: 1, maxLength: 12 })).map(([place, extra]): Change => {
    return (file) => Uint8Array.from([...file.subarray(0, place), ...extra, ...file.subarray(place)]);
  });
  const repeat = fc.tuple(at, at, fc.integer({ min: 1, max: 40 })).map(([from, to, length]): Change => {
    return (file) => edited(file, (copy) => to < copy.length && copy.set(file.subarray(from, Math.min(from + length, file.length - to + from)), to));
  });
  const number = fc.tuple(at, fc.constantFrom(...tempting), fc.constantFrom(4, 8)).map(([place, value, width]): Change => {
    return (file) =>
      edited(file, (copy) => {
        for (let i = 0; i < width && place + i < copy.length; i++) copy[place + i] = Number((value >> BigInt(8 * i)) & 255n);
      });
  });
  return fc.oneof({ weight: 4, arbitrary: flip }, cut, insert, repeat, { weight: 4, arbitrary: number });
}

/** Replaces the 4- or 8-byte number at one of the given places: lengths, counts, types, axes, offsets. */
export function fieldChange(places: readonly number[]): fc.Arbitrary<Change> {
  return fc.tuple(fc.constantFrom(...places), fc.constantFrom(...tempting), fc.constantFrom(4, 8)).map(([place, value, width]): Change => {
    return (file) =>
      edited(file, (copy) => {
        for (let i = 0; i < width; i++) copy[place + i] = Number((value >> BigInt(8 * i)) & 255n);
      });
  });
}

export function countingSource(bytes: Uint8Array, name: string): ByteSource & { readonly asked: () => number } {
  let asked = 0;
  return {
    name,
    size: bytes.length,
    asked: () => asked,
    async read(from, to) {
      asked += to - from;
      assertRange({ name, size: bytes.length }, from, to);
      return bytes.slice(from, to);
    },
    async close() {},
  };
}
