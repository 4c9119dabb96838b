/** Damage done to files on purpose: fast-check generators for the property tests of file readers. */
import fc from "fast-check";
import { assertRange } from "../src/index.ts";
import type { ByteSource } from "../src/index.ts";

const interesting = [0n, 1n, 2n, 7n, 0x7fffffffn, 0xffffffffn, 2n ** 53n, 2n ** 61n, 2n ** 63n, 2n ** 64n - 1n];

type Change = (file: Uint8Array) => Uint8Array;

/** Flipped bytes, cuts, inserted bytes, and 32- or 64-bit numbers overwritten by tempting ones, in the first `reach` bytes. */
export function byteChange(reach: number): fc.Arbitrary<Change> {
  const at = fc.integer({ min: 0, max: reach - 1 });
  const flip = fc.tuple(at, fc.integer({ min: 1, max: 255 })).map(([place, mask]): Change => {
    return (file) => edited(file, (copy) => place < copy.length && (copy[place] = (copy[place] ?? 0) ^ mask));
  });
  const cut = at.map((place): Change => (file) => file.slice(0, place));
  const insert = fc.tuple(at, fc.uint8Array({ minLength: 1, maxLength: 9 })).map(([place, extra]): Change => {
    return (file) => Uint8Array.from([...file.subarray(0, place), ...extra, ...file.subarray(place)]);
  });
  const number = fc.tuple(at, fc.constantFrom(...interesting), fc.constantFrom(4, 8)).map(([place, value, width]): Change => {
    return (file) =>
      edited(file, (copy) => {
        for (let i = 0; i < width && place + i < copy.length; i++) copy[place + i] = Number((value >> BigInt(8 * i)) & 255n);
      });
  });
  return fc.oneof({ weight: 4, arbitrary: flip }, cut, insert, { weight: 2, arbitrary: number });
}

function edited(file: Uint8Array, edit: (copy: Uint8Array) => void): Uint8Array {
  const copy = file.slice();
  edit(copy);
  return copy;
}

/** A source that counts the bytes asked of it, refused requests included. */
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
