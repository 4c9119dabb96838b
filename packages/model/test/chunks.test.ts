/** What a prompt's queries select and say does not depend on how the prompt is cut. */
import { cpuBackend } from "@infllm/backend-cpu";
import { random } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { Selection } from "../src/index.ts";
import { collect } from "./support/collect.ts";

const LENGTHS = [700, 1025, 1400];
const CHUNKS = [1400, 512, 64];
const source = random(6);
const ids = Array.from({ length: 1400 }, () => 300 + source.below(3000));

describe("the embedded model, sparse from its first token", () => {
  let backend: Awaited<ReturnType<typeof cpuBackend>>;
  beforeAll(async () => {
    backend = await cpuBackend({ threads: 2 });
  });
  afterAll(() => backend.close());

  /** The last query of a text that grows, read in chunks of so many tokens. */
  async function lastQueries(chunk: number): Promise<{ readonly selections: readonly (Selection | undefined)[]; readonly logits: readonly Float32Array[] }> {
    const sparse = { topk: 4, windowSize: 128, denseLen: 0 };
    const model = await loadModel("embedded", { backend, contextLength: 1400, chunk, sparse });
    try {
      const [selections, logits] = [[] as (Selection | undefined)[], [] as Float32Array[]];
      const session = model.createSession();
      for (const length of LENGTHS) {
        await collect(session, ids.slice(0, length), { maxTokens: 1 });
        selections.push(await model.lastSelection());
        logits.push(await model.lastLogits());
      }
      return { selections, logits };
    } finally {
      await model.close();
    }
  }

  it("selects the same blocks and finds the same tokens likely in chunks of 64, of 512, and at once", async () => {
    const [expected, ...others] = await Promise.all(CHUNKS.map(lastQueries));
    for (const { selections, logits } of others) {
      expect(selections).toEqual(expected?.selections);
      logits.forEach((row, i) => {
        // Products of other numbers of rows are summed in another order.
        const difference = row.reduce((most, value, token) => Math.max(most, Math.abs(value - (expected?.logits[i]?.[token] ?? NaN))), 0);
        expect(difference).toBeLessThan(1e-3);
      });
    }
    // Six blocks of 22 at the longest: something was left out.
    expect(expected?.selections.at(-1)?.layers.flat().every((blocks) => blocks.length === 6)).toBe(true);
  });
});
