import { createMethod } from "@infllm/attention/methods";
import { describe, expect, it } from "vitest";
import { attendAs, dotAt, expectClose, methodInputs, runMethod } from "./method-run.ts";
import type { MethodInputs } from "./method-run.ts";

const options = { initTokens: 6, localWindow: 24, blockSize: 8, topk: 3, representatives: 2, chunk: 16 };

/** The `count` best of a list, a tie to the earlier. */
function best(items: readonly { readonly id: number; readonly score: number }[], count: number): number[] {
  return [...items].sort((a, b) => b.score - a.score || a.id - b.id).slice(0, count).map(({ id }) => id);
}

/** r_m of §3.2 for one query head: the mean score that the next L queries give token m. */
function representativeScore(inputs: MethodInputs, head: number, token: number): number {
  let sum = 0;
  for (let j = 1; j <= options.localWindow; j++) sum += dotAt(inputs, token + j, head, token, token + j, token);
  return sum / options.localWindow;
}

/** The blocks that rows `[from, end)` look up, of those that were complete before. */
function lookedUp(inputs: MethodInputs, from: number, end: number): number[] {
  const { initTokens, localWindow, blockSize, topk, representatives } = options;
  const blocks = Math.max(0, Math.floor((from - localWindow - initTokens) / blockSize));
  const scored = Array.from({ length: blocks }, (_, id) => {
    let score = 0;
    for (let head = 0; head < inputs.heads; head++) {
      const tokens = Array.from({ length: blockSize }, (__, i) => initTokens + id * blockSize + i);
      const chosen = best(tokens.map((token) => ({ id: token, score: representativeScore(inputs, head, token) })), representatives);
      for (let row = from; row < end; row++) {
        for (const token of chosen) score += dotAt(inputs, row, head, token, localWindow, 0);
      }
    }
    return { id, score };
  });
  return best(scored, topk);
}

describe.each(["cpu", "reference"] as const)("InfLLM version 1, %s", (kind) => {
  it("sees first tokens, window and looked-up blocks, far ones at the window's distance", async () => {
    const { initTokens, localWindow, blockSize, chunk } = options;
    const inputs = methodInputs({ heads: 4, kvHeads: 2, headDim: 16, length: 131, seed: 8 });
    const steps = [48, 50, 13, 1];
    // Rows that look up together: steps, cut into chunks.
    const groups: { from: number; end: number; blocks: number[] }[] = [];
    for (let from = 0, i = 0; from < inputs.length; i++) {
      const end = Math.min(inputs.length, from + (steps[Math.min(i, steps.length - 1)] ?? 1));
      for (; from < end; from += chunk) {
        const until = Math.min(end, from + chunk);
        groups.push({ from, end: until, blocks: lookedUp(inputs, from, until) });
      }
      from = end;
    }
    expect(groups.some(({ blocks }) => blocks.length === options.topk && blocks.some((block, rank) => block !== rank))).toBe(true);
    const expected = attendAs(inputs, (row, _, token) => {
      if (token > row) return undefined;
      if (row - token < localWindow) return [row, token];
      const group = groups.find(({ from, end }) => from <= row && row < end);
      const complete = Math.max(0, Math.floor(((group?.from ?? 0) - localWindow - initTokens) / blockSize));
      const block = Math.floor((token - initTokens) / blockSize);
      const seen = token < initTokens || block >= complete || group?.blocks.includes(block);
      return seen ? [localWindow, 0] : undefined;
    });
    const { out, leaked } = await runMethod(createMethod("infllm-v1", options), inputs, steps, kind);
    expectClose(out, expected);
    expect(leaked).toBe(0);
  });

  it("is full attention while all fits the window", async () => {
    const inputs = methodInputs({ heads: 2, kvHeads: 1, headDim: 8, length: 24, seed: 9 });
    const { out } = await runMethod(createMethod("infllm-v1", options), inputs, [7, 1], kind);
    expectClose(out, attendAs(inputs, (row, _, token) => (token <= row ? [row, token] : undefined)));
  });
});

describe("options of InfLLM version 1", () => {
  it("that contradict each other are refused", () => {
    expect(() => createMethod("infllm-v1", { representatives: 65 })).toThrow(/more than a block of 64/);
    expect(() => createMethod("infllm-v1", { chunk: 600 })).toThrow(/larger than localWindow 576/);
    expect(() => createMethod("infllm-v1", { topk: 0 })).toThrow(/topk is 0; it must be a whole number from 1/);
    expect(() => createMethod("infllm-v1", { window: 3 })).toThrow(/unknown option "window"; it has initTokens/);
  });
});
