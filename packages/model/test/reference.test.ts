/**
 * Holds the embedded model against numbers that another implementation made in float32 on the same bf16 weights:
 * token ids, the next 24 greedy tokens, the ten best logits.
 */
import { readFile } from "node:fs/promises";
import { cpuBackend } from "@infllm/backend-cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { GenerateOptions, Model } from "../src/index.ts";

interface Answer {
  readonly greedy: readonly number[];
  readonly text: string;
  readonly top10: { readonly ids: readonly number[]; readonly logits: readonly number[] };
}

interface Prompt {
  readonly name: string;
  readonly chat: boolean;
  /** Here, or in `file`. */
  readonly prompt?: string;
  readonly file?: string;
  readonly ids: readonly number[];
  readonly dense: Answer;
  readonly sparse_approx_lse?: Answer;
  readonly sparse_exact_lse?: Answer;
}

const folder = new URL("../../tiny-model/reference/", import.meta.url);
const { prompts } = JSON.parse(await readFile(new URL("reference.json", folder), "utf8")) as { prompts: Prompt[] };
const EOS = 1;

/** The largest difference allowed to a logit; leads of chosen tokens are larger but for one, see below. */
const TOLERANCE = 1e-2;

async function answer(model: Model, ids: readonly number[], options: GenerateOptions, expected: Answer) {
  let tokens: readonly number[] = [];
  const session = model.createSession();
  for await (const _ of session.generate(ids, { ...options, maxTokens: 1 })) continue;
  const logits = await model.lastLogits();
  for (const [i, id] of expected.top10.ids.entries()) {
    expect(Math.abs((logits[id] ?? NaN) - (expected.top10.logits[i] ?? NaN)), `logit of token ${id}`).toBeLessThan(TOLERANCE);
  }
  for await (const _ of session.generate(ids, { ...options, onFinish: (stats) => (tokens = stats.tokens) })) continue;
  return tokens;
}

describe("the embedded model against its reference", () => {
  let model: Model;
  let exact: Model;
  const backend = cpuBackend();

  beforeAll(async () => {
    const options = { backend: await backend, contextLength: 6100 };
    model = await loadModel("embedded", options);
    exact = await loadModel("embedded", { ...options, sparse: { lse: "exact" } });
  });
  afterAll(async () => {
    await model.close();
    await exact.close();
    await (await backend).close();
  });

  for (const prompt of prompts) {
    it(`${prompt.name}: token ids`, async () => {
      const text = prompt.prompt ?? (await readFile(new URL(prompt.file ?? "", folder), "utf8"));
      const ids = prompt.chat ? model.promptIds([{ role: "user", content: text }]) : model.promptIds(text);
      expect(ids).toEqual(prompt.ids);
    });

    it(`${prompt.name}: every dense greedy token`, async () => {
      const tokens = await answer(model, prompt.ids, { attention: "dense", ignoreEos: true, maxTokens: 24 }, prompt.dense);
      expect(tokens).toEqual(prompt.dense.greedy);
    });

    // Past <|eos|> the exact row once chooses by a lead of 0.0003, below what float32 in another order can hold.
    for (const [lse, expected] of [["approx", prompt.sparse_approx_lse], ["exact", prompt.sparse_exact_lse]] as const) {
      if (expected === undefined) continue;
      it(`${prompt.name}: sparse greedy tokens up to the end token, ${lse} LSE`, async () => {
        const tokens = await answer(lse === "approx" ? model : exact, prompt.ids, { attention: "sparse" }, expected);
        expect(tokens).toEqual(expected.greedy.slice(0, expected.greedy.indexOf(EOS) + 1));
      });
    }
  }
});
