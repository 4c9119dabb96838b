/** Steps that are enqueued before the token of the one before is known change nothing but the time. */
import { createMethod } from "@infllm/attention/methods";
import { referenceBackend } from "@infllm/backend-cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { GenerateOptions, GenerateStats, Model, ModelBackend, Session } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const sparse_config = { kernel_size: 8, kernel_stride: 4, block_size: 16, init_blocks: 1, window_size: 16, topk: 2, dense_len: 70 };
const small = randomModel("llama", { sparse_config, num_key_value_heads: 1 });
const CONTEXT = 128;
const prompt = Array.from({ length: 60 }, (_, i) => 4 + ((i * 37) % 256));

/** A backend that says of itself what lets steps run ahead, and counts how many steps were begun and read. */
function ahead(): { readonly backend: ModelBackend; readonly most: () => number } {
  const plain = referenceBackend();
  let [begun, read, most] = [0, 0, 0];
  const backend: ModelBackend = {
    ...plain,
    capabilities: { ...plain.capabilities, runsLater: true },
    record(step) {
      const recorded = plain.record(step);
      return {
        ...recorded,
        run() {
          most = Math.max(most, ++begun - read);
          recorded.run();
        },
      };
    },
    async read(tensor) {
      const values = await plain.read(tensor);
      if (tensor.dtype === "i32" && values.length === 1) read = Math.min(begun, read + 1);
      return values;
    },
  };
  return { backend, most: () => most };
}

/** Without what differs from run to run. */
const timeless = (stats: GenerateStats): object => ({ ...stats, prefillSeconds: 0, decodeSeconds: 0, tokenSeconds: undefined, seed: 0 });

/** The same on both models: what `use` returns, what the model then tells of its last query, and how the session goes on. */
async function expectSame(
  models: readonly Model[],
  goOn: readonly number[],
  use: (session: Session) => Promise<unknown>,
): Promise<void> {
  const [plain, later] = await Promise.all(
    models.map(async (model) => {
      const session = model.createSession();
      const result = await use(session);
      const [logits, selection] = [await model.lastLogits(), await model.lastSelection()];
      const next = await collect(session, goOn, { maxTokens: 3, ignoreEos: true });
      return { result, logits, selection, next: timeless(next.stats) };
    }),
  );
  expect(later).toEqual(plain);
}

/** The first pieces of an answer that nobody hears to its end. */
async function begun(session: Session, pieces: number): Promise<string[]> {
  const said: string[] = [];
  for await (const piece of session.generate(prompt, { ignoreEos: true })) {
    said.push(piece);
    if (said.length === pieces) break;
  }
  return said;
}

describe("steps ahead", () => {
  let models: readonly Model[] = [];
  const { backend, most } = ahead();
  const load = (on: ModelBackend, eos: number) =>
    loadModel(hfFiles({ ...small, config: { ...small.config, eos_token_id: eos } }), { backend: on, contextLength: CONTEXT });
  let answer: readonly number[] = [];
  let text = "";
  beforeAll(async () => {
    const open = await load(referenceBackend(), 1);
    const whole = await collect(open, prompt, { maxTokens: 40, ignoreEos: true });
    [answer, text] = [whole.stats.tokens, whole.text];
    await open.close();
    // A token that comes late for the first time ends an answer in the middle.
    const end = answer.find((token, i) => i > 12 && answer.indexOf(token) === i) ?? -1;
    models = [await load(referenceBackend(), end), await load(backend, end)];
  });
  afterAll(() => Promise.all(models.map((model) => model.close())));

  const answers: readonly [string, () => GenerateOptions][] = [
    ["at the most tokens", () => ({ maxTokens: 8, ignoreEos: true })],
    ["at once", () => ({ maxTokens: 1, ignoreEos: true })],
    ["at the end of the context", () => ({ ignoreEos: true })],
    ["at an end token", () => ({})],
    ["at a stop string", () => ({ stop: [...text][9] ?? "", ignoreEos: true })],
    ["with draws", () => ({ temperature: 1.2, seed: 5, maxTokens: 12, ignoreEos: true })],
    ["sparsely from its first token", () => ({ attention: "sparse", maxTokens: 12 })],
  ];
  const goOn = (): number[] => [...prompt, ...answer.slice(0, 5), 9, 10, 11];

  for (const [how, options] of answers) {
    it(`an answer that ends ${how}`, async () => {
      await expectSame(models, goOn(), async (session) => {
        const { text: said, stats } = await collect(session, prompt, options());
        return { said, stats: timeless(stats) };
      });
    });
  }

  for (const pieces of [1, 4]) {
    it(`an answer that is left after ${pieces} pieces`, () => expectSame(models, goOn(), (session) => begun(session, pieces)));
  }

  it("a text that is scored after an answer that was left", async () => {
    const scored = models.map(async (model) => {
      const session = model.createSession();
      await begun(session, 4);
      const scores = await session.score(goOn(), { attention: "sparse" });
      return { scores, selection: await model.lastSelection() };
    });
    const [plain, later] = await Promise.all(scored);
    expect(plain?.selection?.position).toBe(goOn().length - 1);
    expect(later).toEqual(plain);
  });

  it("are two at most, and ran", () => expect(most()).toBe(2));
});

describe("no steps ahead under a method that the host steers", () => {
  const methods = [
    ["keeps what every query brought", "infllm-v1", { initTokens: 4, localWindow: 32, blockSize: 8, topk: 2, chunk: 16 }],
    ["keeps keys and values only", "sliding-window", { sinks: 2, window: 30 }],
  ] as const;
  for (const [keeps, name, options] of methods) {
    it(`one that ${keeps}: ${name}`, async () => {
      const method = createMethod(name, options);
      const load = (backend: ModelBackend) => loadModel(hfFiles(small), { backend, contextLength: CONTEXT, method });
      const models = await Promise.all([load(referenceBackend()), load(ahead().backend)]);
      try {
        expect(models.map(({ backend }) => backend.capabilities.runsLater)).toEqual([false, false]);
        await expectSame(models, [...prompt, 9, 10, 11], (session) => begun(session, 4));
        await expectSame(models, [...prompt, 9, 10, 11], async (session) => {
          const { text, stats } = await collect(session, prompt, { maxTokens: 20, ignoreEos: true });
          return { text, stats: timeless(stats) };
        });
      } finally {
        await Promise.all(models.map((model) => model.close()));
      }
    });
  }
});
