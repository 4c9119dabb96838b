import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Heap } from "./heap.ts";

const FROM = 64;
const TO = 64 * 1024;

describe("Heap", () => {
  it("hands out disjoint, aligned ranges and is whole again when all are back", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 9000 }), fc.nat()), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(steps, (list) => {
        const heap = new Heap(FROM, TO);
        const held: { at: number; bytes: number }[] = [];
        for (const [bytes, choice] of list) {
          const give = held[choice % (held.length + 1)];
          if (give && choice % 3 === 0) {
            heap.give(give.at, give.bytes);
            held.splice(held.indexOf(give), 1);
            continue;
          }
          const at = heap.take(bytes);
          if (at === undefined) {
            expect(heap.largest).toBeLessThan(bytes);
            continue;
          }
          if (bytes === 0) continue;
          expect(at % 64).toBe(0);
          expect(at).toBeGreaterThanOrEqual(FROM);
          expect(at + bytes).toBeLessThanOrEqual(TO);
          expect(held.every((other) => at + bytes <= other.at || other.at + other.bytes <= at)).toBe(true);
          held.push({ at, bytes });
        }
        for (const { at, bytes } of held) heap.give(at, bytes);
        expect(heap.used).toBe(0);
        expect(heap.largest).toBe(TO - FROM);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
