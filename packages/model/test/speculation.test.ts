/** Drafts that are checked in one pass change nothing about an answer but the time it takes. */
import { createMethod } from "@infllm/attention/methods";
import { referenceBackend } from "@infllm/backend-cpu";
import { ConfigError } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { GenerateOptions, GenerateStats, Model, ModelBackend, Session } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const sparse_config = { kernel_size: 8, kernel_stride: 4, block_size: 16, init_blocks: 1, window_size: 16, topk: 2, dense_len: 90 };
const small = randomModel("llama", { sparse_config, num_key_value_heads: 1 });
const CONTEXT = 160;
/** A prompt in which every token occurs several times, so that there is a draft for almost every place. */
const prompt = Array.from({ length: 60 }, (_, i) => 4 + ((i * 7) % 23));
/** Drafts that hardly ever are right and drafts that mostly are, wherever there is a match. */
const speculate = { tokens: 5, adaptive: false } as const;

/** Without what differs from run to run, and what drafts came to. */
function outcome(stats: GenerateStats): object {
  return { ...stats, prefillSeconds: 0, decodeSeconds: 0, tokenSeconds: undefined, speculation: undefined, seed: 0 };
}

async function load(changes: Record<string, unknown> = {}, backend: ModelBackend = referenceBackend()): Promise<Model> {
  return loadModel(hfFiles({ ...small, config: { ...small.config, ...changes } }), { backend, contextLength: CONTEXT });
}

/** A backend on which steps may run ahead. */
function laterBackend(): ModelBackend {
  const plain = referenceBackend();
  return { ...plain, capabilities: { ...plain.capabilities, runsLater: true } };
}

describe("speculation", () => {
  let plain: Model;
  let models: readonly Model[] = [];
  let answer: readonly number[] = [];
  let text = "";
  beforeAll(async () => {
    const open = await load();
    const whole = await collect(open, prompt, { maxTokens: 60, ignoreEos: true });
    [answer, text] = [whole.stats.tokens, whole.text];
    await open.close();
    // A token that comes late for the first time ends an answer in the middle.
    const eos_token_id = answer.find((token, i) => i > 20 && answer.indexOf(token) === i) ?? -1;
    plain = await load({ eos_token_id });
    models = [await load({ eos_token_id }), await load({ eos_token_id }, laterBackend())];
  });
  afterAll(() => Promise.all([plain, ...models].map((model) => model.close())));

  /** The same with drafts as without: what `use` returns, what the model tells of its last query, and how the session goes on. */
  async function expectSame(use: (session: Session, options: GenerateOptions) => Promise<unknown>): Promise<void> {
    const results = [];
    for (const model of [plain, ...models]) {
      const session = model.createSession();
      const result = await use(session, model === plain ? {} : { speculate });
      const [logits, selection] = [await model.lastLogits(), await model.lastSelection()];
      const next = await collect(session, [...prompt, ...answer.slice(0, 9), 9, 10, 11], { maxTokens: 3, ignoreEos: true });
      results.push({ result, logits, selection, next: outcome(next.stats) });
    }
    const [expected, ...actual] = results;
    for (const each of actual) expect(each).toEqual(expected);
  }

  const answers: readonly [how: string, options: () => GenerateOptions][] = [
    ["at the most tokens", () => ({ maxTokens: 23, ignoreEos: true })],
    ["at two tokens", () => ({ maxTokens: 2, ignoreEos: true })],
    ["at the end of the context, past where attention switches", () => ({ ignoreEos: true })],
    ["at an end token", () => ({})],
    ["at a stop string", () => ({ stop: [...text].slice(14, 16).join(""), ignoreEos: true })],
    ["with draws", () => ({ temperature: 0.6, topP: 0.9, topK: 40, seed: 11, maxTokens: 60, ignoreEos: true })],
    ["with draws that never repeat", () => ({ temperature: 1.5, seed: 3, maxTokens: 40, ignoreEos: true })],
    ["sparsely from its first token", () => ({ attention: "sparse", maxTokens: 50, ignoreEos: true })],
    ["densely at every length", () => ({ attention: "dense", maxTokens: 50, ignoreEos: true })],
  ];
  for (const [how, options] of answers) {
    it(`an answer that ends ${how}`, async () => {
      await expectSame(async (session, drafts) => {
        const { text: said, stats } = await collect(session, prompt, { ...options(), ...drafts });
        return { said, stats: outcome(stats) };
      });
    });
  }

  for (const pieces of [1, 2, 3, 7]) {
    it(`an answer that is left after ${pieces} pieces`, () =>
      expectSame(async (session, drafts) => {
        const said: string[] = [];
        for await (const piece of session.generate(prompt, { ignoreEos: true, ...drafts })) {
          said.push(piece);
          if (said.length === pieces) break;
        }
        return said;
      }));
  }

  it("every number of tokens, so that answers end at every place of a draft", async () => {
    for (const model of models) {
      for (let maxTokens = 1; maxTokens <= 50; maxTokens++) {
        const { stats } = await collect(model, prompt, { maxTokens, ignoreEos: true, speculate });
        expect(stats).toMatchObject({ tokens: answer.slice(0, maxTokens), stopReason: "length" });
      }
    }
  });

  it("counts what was drafted and accepted, and does drafts where the text repeats", async () => {
    const [model = plain] = models;
    const { stats } = await collect(model, [...prompt, ...answer.slice(0, 40), ...prompt], { maxTokens: 1, ignoreEos: true, speculate });
    expect(stats.speculation).toEqual({ checks: 0, drafted: 0, accepted: 0 });
    const repeated = await collect(model, prompt, { maxTokens: 60, ignoreEos: true, speculate });
    const { checks, drafted, accepted } = repeated.stats.speculation ?? { checks: 0, drafted: 0, accepted: 0 };
    expect(checks).toBeGreaterThan(5);
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(drafted);
    expect(drafted).toBeLessThanOrEqual(5 * checks);
    expect((await collect(model, prompt, { maxTokens: 4, ignoreEos: true })).stats.speculation).toBeUndefined();
  });

  it("draws as the probabilities say", async () => {
    // Half of all tokens are in this prompt, each followed by another: what comes after the first token is often drafted,
    // mostly in vain. Plain steps of the same seeds draw the same, and their distribution is tested with generation.
    const [model = plain] = models;
    const half = Array.from({ length: 80 }, (_, i) => 4 + 3 * i);
    const count = async (options: GenerateOptions): Promise<{ counts: Map<string, number>; drafted: number }> => {
      const counts = new Map<string, number>();
      const session = model.createSession();
      let drafted = 0;
      for (let seed = 0; seed < 600; seed++) {
        const { stats } = await collect(session, half, { temperature: 0.8, topK: 30, maxTokens: 4, ignoreEos: true, seed, ...options });
        const key = stats.tokens.join();
        counts.set(key, (counts.get(key) ?? 0) + 1);
        drafted += stats.speculation?.drafted ?? 0;
      }
      return { counts, drafted };
    };
    const [drafts, steps] = [await count({ speculate }), await count({})];
    expect(drafts.drafted).toBeGreaterThan(200);
    expect(drafts.counts).toEqual(steps.counts);
    expect(steps.counts.size).toBeGreaterThan(100);
  });

  const refused: readonly [what: string, speculate: GenerateOptions["speculate"], message: RegExp][] = [
    ["no tokens", { tokens: 0 }, /speculate.tokens is 0; it must be a whole number from 1 to 63/],
    ["too many tokens", { tokens: 64 }, /speculate.tokens is 64/],
    ["runs the wrong way round", { ngrams: [3, 1] }, /speculate.ngrams is \[3,1\]; it must be two whole numbers from 1 to 8, the shorter one first/],
    ["something else than a switch", { adaptive: 1 as unknown as boolean }, /speculate.adaptive is 1/],
  ];
  for (const [what, wrong, message] of refused) {
    it(`refuses ${what}`, () => expect(collect(plain, prompt, { speculate: wrong })).rejects.toThrow(message));
  }

  it("refuses where a pass has room for one row only", async () => {
    const narrow = await loadModel(hfFiles(small), { backend: referenceBackend(), contextLength: CONTEXT, chunk: 1 });
    await expect(collect(narrow, prompt.slice(0, 4), { speculate: true })).rejects.toThrow(ConfigError);
    expect((await collect(narrow, prompt.slice(0, 4), { maxTokens: 2, ignoreEos: true })).stats.generatedTokens).toBe(2);
    await narrow.close();
  });

  it("drafts no more than a pass has room for", async () => {
    const narrow = await loadModel(hfFiles(small), { backend: referenceBackend(), contextLength: CONTEXT, chunk: 3 });
    const { stats } = await collect(narrow, prompt, { maxTokens: 40, ignoreEos: true, speculate });
    expect(stats.tokens).toEqual(answer.slice(0, 40));
    const { checks, drafted } = stats.speculation ?? { checks: 0, drafted: 0 };
    expect(checks).toBeGreaterThan(0);
    expect(drafted).toBeLessThanOrEqual(2 * checks);
    await narrow.close();
  });

  it("gives back what drafts took, also after larger ones", async () => {
    const backend = referenceBackend();
    const model = await load({}, backend);
    for (const tokens of [3, 9, 5]) await collect(model, prompt, { maxTokens: 12, ignoreEos: true, speculate: { tokens, adaptive: false } });
    await model.close();
    expect(backend.memory().used).toBe(0);
  });

  it("adapts: the answer is the same whatever pays", async () => {
    const [model = plain] = models;
    const adapted = await collect(model, prompt, { maxTokens: 60, ignoreEos: true, speculate: true });
    expect(adapted.stats.tokens).toEqual(answer);
  });
});

describe("speculation under an attention method", () => {
  const load = (name: string, options: Record<string, unknown>) =>
    loadModel(hfFiles(small), { backend: referenceBackend(), contextLength: CONTEXT, method: createMethod(name, options) });

  it.each([
    ["full", {}],
    ["sliding-window", { sinks: 2, window: 30 }],
    ["nsa", { compressSize: 8, compressStride: 4, blockSize: 16, blocks: 4, window: 20 }],
  ] as const)("takes back what was drafted in vain: %s", async (name, options) => {
    const [plain, drafting] = await Promise.all([load(name, options), load(name, options)]);
    const expected = await collect(plain, prompt, { maxTokens: 40, ignoreEos: true });
    const actual = await collect(drafting, prompt, { maxTokens: 40, ignoreEos: true, speculate });
    expect(actual.stats.tokens).toEqual(expected.stats.tokens);
    expect(actual.stats.speculation?.drafted).toBeGreaterThan(actual.stats.speculation?.accepted ?? 0);
    await Promise.all([plain.close(), drafting.close()]);
  });

  it("refuses one that keeps what every query brought", async () => {
    const model = await load("infllm-v1", { initTokens: 4, localWindow: 32, blockSize: 8, topk: 2, chunk: 16 });
    await expect(collect(model, prompt, { speculate: true })).rejects.toThrow(/infllm-v1 keeps what every query brought.*Leave the option out/);
    await model.close();
  });
});
