import { referenceBackend } from "@infllm/backend-cpu";
import { ConfigError, ShapeError, UsageError, random } from "@infllm/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { GenerateOptions, Model, Prompt } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const sparse_config = { kernel_size: 8, kernel_stride: 4, block_size: 16, init_blocks: 1, window_size: 16, topk: 3, dense_len: 80 };
const small = randomModel("llama", { sparse_config, num_key_value_heads: 1 });
const CONTEXT = 192;

function tokens(length: number, seed = 5): number[] {
  const source = random(seed);
  return Array.from({ length }, () => 4 + source.below(256));
}

async function lastLogits(model: Model, ids: readonly number[], options: GenerateOptions = {}): Promise<Float32Array> {
  await collect(model, ids, { ...options, maxTokens: 1 });
  return model.lastLogits();
}

describe("generation", () => {
  let model: Model;
  const load = (options = {}) => loadModel(hfFiles(small), { backend: referenceBackend(), contextLength: CONTEXT, ...options });
  beforeAll(async () => {
    model = await load();
  });
  afterAll(() => model.close());

  it("does not depend on how the prompt is chunked", async () => {
    const prompt = tokens(150);
    const whole = new Map<string, Float32Array>();
    for (const attention of ["dense", "sparse", "auto"] as const) whole.set(attention, await lastLogits(model, prompt, { attention }));
    expect(whole.get("auto")).toEqual(whole.get("sparse"));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 160 }), fc.constantFrom("dense" as const, "sparse" as const), async (chunk, attention) => {
        const chunked = await load({ chunk });
        expect(await lastLogits(chunked, prompt, { attention })).toEqual(whole.get(attention));
        await chunked.close();
      }),
      { seed: 11, numRuns: 12 },
    );
  });

  it("decodes what a prefill of the same tokens computes", async () => {
    for (const attention of ["dense", "sparse"] as const) {
      const prompt = tokens(70);
      const { stats } = await collect(model, prompt, { attention, maxTokens: 40, ignoreEos: true });
      const decoded = await model.lastLogits();
      const prefilled = await lastLogits(model, [...prompt, ...stats.tokens.slice(0, -1)], { attention });
      for (const [i, value] of prefilled.entries()) expect(decoded[i]).toBeCloseTo(value, 4);
    }
  });

  it("switches by the whole prompt's length at prefill and by the current length at decode", async () => {
    const below = await collect(model, tokens(79), { maxTokens: 1 });
    expect(below.stats).toMatchObject({ sparse: false, visibleTokens: 79 });
    const crossing = await collect(model, tokens(79), { maxTokens: 2, ignoreEos: true });
    // Position 79 is the last of its block: four selected blocks of 16.
    expect(crossing.stats).toMatchObject({ sparse: true, visibleTokens: 64 });
    expect((await collect(model, tokens(80), { maxTokens: 1 })).stats.sparse).toBe(true);
  });

  it("says which blocks the last query chose", async () => {
    await collect(model, tokens(150), { maxTokens: 1 });
    const selection = await model.lastSelection();
    expect(selection).toMatchObject({ position: 149, blockSize: 16 });
    expect(selection?.layers).toHaveLength(2);
    for (const [blocks] of selection?.layers ?? []) {
      expect(blocks).toHaveLength(4);
      expect(blocks?.[0]).toBe(0);
      expect(blocks?.slice(-2)).toEqual([8, 9]);
    }
    await collect(model, tokens(150), { maxTokens: 1, attention: "dense" });
    expect(await model.lastSelection()).toBeUndefined();
  });

  it("reports the progress of the prompt", async () => {
    const chunked = await load({ chunk: 64 });
    const seen: number[][] = [];
    await collect(chunked, tokens(150), { maxTokens: 1, onPrefill: ({ processed, total }) => seen.push([processed, total]) });
    expect(seen).toEqual([[64, 150], [128, 150], [150, 150]]);
    await chunked.close();
  });

  it("ends for the reason it says", async () => {
    const prompt = tokens(30);
    const long = await collect(model, prompt, { maxTokens: 30, ignoreEos: true });
    expect(long.stats).toMatchObject({ stopReason: "length", generatedTokens: 30, promptTokens: 30, cachedTokens: 0 });
    const stop = [...long.text][8] ?? "";
    const cut = await collect(model, prompt, { maxTokens: 30, ignoreEos: true, stop });
    expect(cut.stats.stopReason).toBe("stop");
    expect(cut.text).toBe(long.text.slice(0, long.text.indexOf(stop)));
    const full = await collect(model, tokens(CONTEXT - 4), { ignoreEos: true });
    expect(full.stats).toMatchObject({ stopReason: "context", generatedTokens: 5 });
    const end = long.stats.tokens[3] ?? 0;
    const ending = await loadModel(hfFiles({ ...small, config: { ...small.config, eos_token_id: end } }), { backend: referenceBackend(), contextLength: 64 });
    expect((await collect(ending, prompt)).stats).toMatchObject({ stopReason: "eos", generatedTokens: long.stats.tokens.indexOf(end) + 1 });
    await ending.close();
  });

  it("draws as the probabilities say, the same for the same seed", async () => {
    const prompt = tokens(20);
    const logits = await lastLogits(model, prompt);
    const temperature = 0.7;
    const top = Math.max(...logits);
    const powers = [...logits].map((logit) => Math.exp((logit - top) / temperature));
    const sum = powers.reduce((a, b) => a + b, 0);
    const counts = new Map<number, number>();
    const draws = 1500;
    const session = model.createSession();
    for (let seed = 0; seed < draws; seed++) {
      const { stats } = await collect(session, prompt, { temperature, seed, maxTokens: 1 });
      const [token = -1] = stats.tokens;
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    for (const [token, power] of powers.entries()) {
      const p = power / sum;
      // Five standard deviations of a binomial count.
      expect(Math.abs((counts.get(token) ?? 0) - draws * p)).toBeLessThan(5 * Math.sqrt(draws * p * (1 - p)) + 1);
    }
    const once = await collect(model, prompt, { temperature: 1, seed: 42, maxTokens: 12, ignoreEos: true });
    const again = await collect(model, prompt, { temperature: 1, seed: 42, maxTokens: 12, ignoreEos: true });
    const other = await collect(model, prompt, { temperature: 1, seed: 43, maxTokens: 12, ignoreEos: true });
    expect(again.stats.tokens).toEqual(once.stats.tokens);
    expect(other.stats.tokens).not.toEqual(once.stats.tokens);
    const best = await collect(model, prompt, { temperature: 1, topK: 1, seed: 9, maxTokens: 12, ignoreEos: true });
    expect(best.stats.tokens).toEqual((await collect(model, prompt, { maxTokens: 12, ignoreEos: true })).stats.tokens);
  });

  it("stops at a signal, and the model stays usable", async () => {
    const controller = new AbortController();
    const pieces: string[] = [];
    const stream = model.generate(tokens(30), { signal: controller.signal, ignoreEos: true });
    await expect(async () => {
      for await (const piece of stream) {
        pieces.push(piece);
        if (pieces.length === 3) controller.abort();
      }
    }).rejects.toThrow(/aborted/);
    expect(pieces).toHaveLength(3);
    const early = { signal: AbortSignal.abort(), maxTokens: 1 };
    await expect(collect(model, tokens(3), early)).rejects.toThrow(/aborted/);
    expect((await collect(model, tokens(30), { maxTokens: 2, ignoreEos: true })).stats.generatedTokens).toBe(2);
  });

  it("stops between the chunks of a prompt", async () => {
    const chunked = await load({ chunk: 16 });
    const controller = new AbortController();
    let processed = 0;
    const onPrefill = (progress: { processed: number }) => {
      processed = progress.processed;
      if (processed >= 48) setImmediate(() => controller.abort());
    };
    await expect(collect(chunked, tokens(150), { signal: controller.signal, onPrefill })).rejects.toThrow(/aborted/);
    expect(processed).toBeLessThan(100);
    await chunked.close();
  });

  const refused: readonly [what: string, prompt: Prompt, options: GenerateOptions, message: RegExp, kind: new (...args: never[]) => Error][] = [
    ["an empty list", [], {}, /no tokens/, ConfigError],
    ["a prompt beyond the context", tokens(CONTEXT + 1), {}, /193 tokens.*context holds 192/, ShapeError],
    ["ids that no token has", [5, 260], {}, /token id 260.*0 to 259/, ConfigError],
    ["a negative temperature", "a", { temperature: -1 }, /temperature is -1/, ConfigError],
    ["topP 0", "a", { topP: 0 }, /topP is 0/, ConfigError],
    ["half a token", "a", { topK: 0.5 }, /topK is 0.5/, ConfigError],
    ["no tokens to make", "a", { maxTokens: 0 }, /maxTokens is 0/, ConfigError],
    ["an empty stop string", "a", { stop: ["x", ""] }, /stop/, ConfigError],
    ["an unknown attention mode", "a", { attention: "linear" as never }, /"linear".*"auto"/, ConfigError],
  ];
  for (const [what, prompt, options, message, kind] of refused) {
    it(`refuses ${what}`, async () => {
      await expect(collect(model, prompt, options)).rejects.toThrow(message);
      await expect(collect(model, prompt, options)).rejects.toThrow(kind);
    });
  }

  it("refuses sparse attention without a sparse config, and takes one as an option", async () => {
    const dense = randomModel("llama");
    const plain = await loadModel(hfFiles(dense), { backend: referenceBackend(), contextLength: 64 });
    await expect(collect(plain, "a", { attention: "sparse" })).rejects.toThrow(/no sparse_config/);
    await plain.close();
    const given = await loadModel(hfFiles(dense), { backend: referenceBackend(), contextLength: 64, sparse: { denseLen: 8 } });
    expect((await collect(given, "0123456789", { maxTokens: 1 })).stats.sparse).toBe(true);
    await given.close();
  });

  it("refuses a second generation at a time, and any after close", async () => {
    const own = await load();
    const first = own.generate(tokens(9), { ignoreEos: true });
    await first.next();
    await expect(own.generate("b").next()).rejects.toThrow(UsageError);
    await first.return();
    await collect(own, "b", { maxTokens: 1 });
    await own.close();
    await own.close();
    await expect(own.generate("c").next()).rejects.toThrow(/closed/);
  });
});
