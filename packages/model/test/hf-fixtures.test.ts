/** Every family against Hugging Face transformers: checkpoints that it wrote, logits that it computed in f32. */
import { cpuBackend, referenceBackend } from "@infllm/backend-cpu";
import { describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import { hfFixture, hfRun } from "./support/hf-fixture.ts";

/** Of the largest logit. Some hundred roundings of 6e-8 on either side; a wrong factor or angle is off by far more. */
const TOLERANCE = 1e-4;

/** Context lengths matter to LongRoPE alone: its long factors apply from 97 tokens on. */
const runs = [
  { family: "llama", run: "logits", contextLength: 256, what: "Llama 3 RoPE" },
  { family: "qwen2", run: "logits", contextLength: 256, what: "biases of q, k and v, tied embeddings" },
  { family: "qwen3", run: "logits", contextLength: 256, what: "head norms, wide heads, YaRN" },
  { family: "minicpm", run: "short", contextLength: 96, what: "muP scalings, LongRoPE within its first context" },
  { family: "minicpm", run: "long", contextLength: 256, what: "LongRoPE beyond it" },
] as const;

describe("logits of every position equal those of transformers", () => {
  for (const { family, run, contextLength, what } of runs) {
    for (const [name, open] of [["cpu", () => cpuBackend({ threads: 1 })], ["reference", async () => referenceBackend()]] as const) {
      it(`${family}: ${what}, on ${name}`, async () => {
        const { ids, logits, largest } = await hfRun(family, run);
        const backend = await open();
        const model = await loadModel(hfFixture(family), { backend, contextLength, chunk: 50 });
        const positions = ids.map((_, position) => position);
        let checked = 0;
        for await (const rows of model.scoreRows(ids, { positions })) {
          const width = rows.logits.length / rows.count;
          rows.logits.forEach((value, i) => {
            const expected = logits[rows.first * width + i] ?? NaN;
            if (!(Math.abs(value - expected) <= TOLERANCE * largest)) {
              expect.fail(`position ${rows.first + Math.floor(i / width)}, token ${i % width}: ${value}, transformers ${expected}`);
            }
            checked++;
          });
        }
        expect(checked).toBe(logits.length);
        await model.close();
        await backend.close();
      });
    }
  }

  it("and differ where a length decides: LongRoPE's short factors on the long text", async () => {
    const { ids, logits, largest } = await hfRun("minicpm", "long");
    const { logits: short } = await hfRun("minicpm", "short");
    // The first position has no rotation, the second one already shows other angles.
    const difference = Math.max(...Array.from(short.subarray(288, 64 * 288), (value, i) => Math.abs(value - (logits[288 + i] ?? NaN))));
    expect(ids.length).toBeGreaterThan(96);
    expect(difference).toBeGreaterThan(10 * TOLERANCE * largest);
  });
});
