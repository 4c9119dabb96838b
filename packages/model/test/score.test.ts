import { cpuBackend, referenceBackend } from "@infllm/backend-cpu";
import { createMethod } from "@infllm/attention/methods";
import { logSumExp } from "@infllm/block-selection";
import { random } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareRows, klDivergence, largestIndex, loadModel } from "../src/index.ts";
import type { Model } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const sparse = { kernelSize: 8, kernelStride: 4, blockSize: 16, windowSize: 16, topk: 2, denseLen: 64 } as const;
const text = (length: number) => {
  const { below } = random(7);
  return Array.from({ length }, () => 4 + below(60));
};

/** ln p of the token at `end` after a prompt of all before it. */
async function afterPrompt(model: Model, ids: readonly number[], end: number, attention: "dense" | "sparse"): Promise<number> {
  await collect(model, ids.slice(0, end), { maxTokens: 1, ignoreEos: true, attention });
  const logits = await model.lastLogits();
  return (logits[ids[end] ?? 0] ?? NaN) - logSumExp(logits);
}

describe("scores", () => {
  let model: Model;
  const ids = text(150);
  beforeAll(async () => {
    const backend = referenceBackend();
    model = await loadModel(hfFiles(randomModel("qwen3")), { backend, contextLength: 160, chunk: 96, sparse });
  });
  afterAll(() => model.close());

  it.each(["dense", "sparse"] as const)("equal those of prompts that end at each token, %s", async (attention) => {
    const { positions, logProbs } = await model.score(ids, { attention });
    expect([...positions]).toEqual(Array.from({ length: ids.length - 1 }, (_, position) => position));
    for (const end of [1, 2, 40, 63, 64, 65, 96, 97, 128, 149]) {
      expect(logProbs[end - 1], `token ${end}`).toBeCloseTo(await afterPrompt(model, ids, end, attention), 5);
    }
  });

  it("are the same for wanted positions alone, in a session that goes on, and in chunks of any size", async () => {
    const all = await model.score(ids, { attention: "dense" });
    const positions = [3, 4, 70, 95, 96, 149];
    const some = await model.score(ids, { attention: "dense", positions });
    const session = model.createSession();
    await session.score(ids.slice(0, 80), { attention: "dense" });
    const seen: number[] = [];
    const late = await session.score(ids, { attention: "dense", positions: [90, 100], onPrefill: ({ total }) => seen.push(total) });
    expect([...some.positions]).toEqual(positions);
    positions.slice(0, -1).forEach((position, i) => expect(some.logProbs[i]).toBeCloseTo(all.logProbs[position] ?? NaN, 6));
    expect(some.logProbs.at(-1)).toBeNaN();
    expect(late.logProbs[0]).toBeCloseTo(all.logProbs[90] ?? NaN, 6);
    expect(late.logProbs[1]).toBeCloseTo(all.logProbs[100] ?? NaN, 6);
    expect(seen.at(-1)).toBe(150 - 80);
  });

  it("leave what the last query selected, also where no wanted position is near it", async () => {
    const selectionAfter = async (positions: readonly number[]) => {
      await model.score(ids, { attention: "sparse", positions });
      return model.lastSelection();
    };
    await collect(model, ids, { maxTokens: 1, ignoreEos: true, attention: "sparse" });
    const prompted = await model.lastSelection();
    // In chunks of 96 the second one has no wanted position; another text before, so that nothing is right by chance.
    await model.score([...ids].reverse(), { attention: "sparse" });
    expect(await selectionAfter([3])).toEqual(prompted);
    expect(await selectionAfter([149])).toEqual(prompted);
  });

  it("name the most likely token", async () => {
    await collect(model, ids, { maxTokens: 1, ignoreEos: true, attention: "dense" });
    const logits = await model.lastLogits();
    const { best } = await model.score(ids, { attention: "dense", positions: [ids.length - 1] });
    expect([...best]).toEqual([largestIndex(logits)]);
  });

  it("agree between the WASM kernels and the reference", async () => {
    const backend = await cpuBackend({ threads: 2 });
    const fast = await loadModel(hfFiles(randomModel("qwen3")), { backend, contextLength: 160, sparse });
    const options = { attention: "sparse" } as const;
    for await (const { kl } of compareRows(model.scoreRows(ids, options), fast.scoreRows(ids, options))) expect(kl).toBeLessThan(1e-6);
    await fast.close();
    await backend.close();
  });

  it("refuse positions that the text does not have, and leave the model usable", async () => {
    await expect(model.score(ids, { positions: [5, 5] })).rejects.toThrow(/positions\[1\] is 5.*ascending/);
    await expect(model.score(ids, { positions: [150] })).rejects.toThrow(/from 0 to 149/);
    await expect(model.score([])).rejects.toThrow(/no tokens/);
    await expect(model.score([9999])).rejects.toThrow(/token id 9999/);
    const rows = model.scoreRows(ids);
    await rows.next();
    await expect(model.score(ids)).rejects.toThrow(/generating already/);
    await rows.return();
    expect((await model.score(ids.slice(0, 3))).logProbs).toHaveLength(2);
    await expect(model.lastLogits()).rejects.toThrow(/scored a text.*scoreRows/);
  });
});

describe("distributions", () => {
  it("diverge by Σ p ln(p / q)", () => {
    const [p, q] = [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]];
    const expected = 0.5 * Math.log(2) + 0.25 * Math.log(0.5);
    const logits = (of: readonly number[]) => Float32Array.from(of, (value) => Math.log(value) + 3);
    expect(klDivergence(logits(p), logits(q))).toBeCloseTo(expected, 6);
    expect(klDivergence(logits(p), logits(p))).toBe(0);
    expect(klDivergence(Float32Array.of(0, -Infinity), Float32Array.of(0, 0))).toBeCloseTo(Math.log(2), 6);
    expect(() => klDivergence(logits(p), logits([1]))).toThrow(/3 logits cannot be compared with 1/);
  });

  it("cannot be compared at different positions", async () => {
    async function* rows(first: number) {
      yield { first, count: 1, logits: Float32Array.of(1, 2) };
    }
    await expect(compareRows(rows(1), rows(2)).next()).rejects.toThrow(/different positions/);
  });
});

describe("a model under a method", () => {
  it("attends as the method says, and refuses to be told otherwise", async () => {
    const backend = referenceBackend();
    const options = { backend, contextLength: 160, sparse };
    const plain = await loadModel(hfFiles(randomModel("qwen3")), options);
    const exact = await loadModel(hfFiles(randomModel("qwen3")), { ...options, method: createMethod("infllm-v2-exact") });
    const dense = await loadModel(hfFiles(randomModel("qwen3")), { ...options, method: createMethod("full") });
    const ids = text(120);
    const scores = async (model: Model, attention?: "dense" | "sparse") => [...(await model.score(ids, { attention })).logProbs];
    expect(exact.description.sparse?.lse).toBe("exact");
    expect(await scores(dense)).toEqual(await scores(plain, "dense"));
    expect(await scores(exact)).not.toEqual(await scores(plain, "dense"));
    await expect(dense.score(ids, { attention: "sparse" })).rejects.toThrow(/method full, which decides itself/);
    for (const model of [plain, exact, dense]) await model.close();
  });

  it("is stretched by YaRN", async () => {
    const backend = referenceBackend();
    const model = await loadModel(hfFiles(randomModel("qwen3")), { backend, contextLength: 64, method: createMethod("yarn", { originalContext: 32 }) });
    expect(model.config.rope.scaling).toMatchObject({ kind: "yarn", factor: 8, originalContext: 32 });
    await model.close();
  });
});
