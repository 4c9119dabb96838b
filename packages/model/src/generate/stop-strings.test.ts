import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopStrings } from "./stop-strings.ts";

function run(pieces: readonly string[], stops: readonly string[]) {
  const cutter = new StopStrings(stops);
  let shown = "";
  for (const piece of pieces) shown += cutter.push(piece);
  return { shown: shown + cutter.flush(), stopped: cutter.stopped };
}

describe("StopStrings", () => {
  it("cuts before a stop string that is spread over pieces", () => {
    expect(run(["one S", "TO", "P two"], ["STOP"])).toEqual({ shown: "one ", stopped: "STOP" });
  });

  it("shows a false start as soon as it is clear", () => {
    const cutter = new StopStrings(["abac"]);
    expect([cutter.push("xab"), cutter.push("ab"), cutter.push("q"), cutter.flush()]).toEqual(["x", "ab", "abq", ""]);
  });

  it("takes the stop string that comes first", () => {
    expect(run(["a\nUser: b"], ["User:", "\n"])).toEqual({ shown: "a", stopped: "\n" });
  });

  it("does not depend on how the text is split", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 }), { maxLength: 2 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 5 }), stops, (pieces, list) => {
        const text = pieces.join("");
        // Piece by piece a stop string may be found before one that starts earlier is complete; one is the shortest.
        const first = Math.min(...list.map((stop) => text.indexOf(stop)).filter((at) => at >= 0), text.length);
        const { shown, stopped } = run(pieces, list);
        expect(stopped === undefined).toBe(first === text.length && !list.some((stop) => text.includes(stop)));
        expect(text.startsWith(shown)).toBe(true);
        if (list.length < 2) expect(shown).toBe(text.slice(0, first));
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});
