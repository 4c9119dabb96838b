import { createMethod } from "@infllm/attention/methods";
import { describe, expect, it } from "vitest";
import { attendAs, expectClose, methodInputs, runMethod } from "./method-run.ts";

const shape = { heads: 4, kvHeads: 2, headDim: 16, length: 90, seed: 3 };

describe.each(["cpu", "reference"] as const)("sliding window with sinks, %s", (kind) => {
  it.each([
    { sinks: 4, window: 20 },
    { sinks: 0, window: 20 },
    { sinks: 1, window: 1 },
    { sinks: 4, window: 200 },
    { sinks: 100, window: 3 },
  ])("numbers what is kept without gaps, %o", async ({ sinks, window }) => {
    const inputs = methodInputs(shape);
    // What the rolling cache holds when a row attends, oldest first: its places are the positions.
    const held = (row: number) => Array.from({ length: row + 1 }, (_, token) => token).filter((token) => token < sinks || token > row - window);
    const expected = attendAs(inputs, (row, _, token) => {
      const place = held(row).indexOf(token);
      return place < 0 ? undefined : [held(row).length - 1, place];
    });
    const method = createMethod("sliding-window", { sinks, window });
    const { out, leaked } = await runMethod(method, inputs, [33, 20, 1], kind);
    expectClose(out, expected);
    expect(leaked).toBe(0);
  });
});
