/** Models under every attention method; what each method computes is tested with the cpu backend. */
import { createMethod, methodNames, type AttendStep, type AttentionMethod, type LayerPlace } from "@infllm/attention/methods";
import { logSumExp } from "@infllm/block-selection";
import { cpuBackend } from "@infllm/backend-cpu";
import { UnsupportedError, type DeviceTensor } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { Model } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

/** f32 `[1, heads * headDim]`: full attention of one row, in float64. */
function attendAll({ backend: { host }, heads, kvHeads, headDim }: LayerPlace, { first, q, k, v, scale }: AttendStep): Float32Array {
  const read = (tensor: DeviceTensor) => host.readNow(tensor) as Float32Array;
  const all = { rows: [0, first + 1] } as const;
  const [query, keys, values] = [read(q), read(k.view(all)), read(v.view(all))];
  const out = new Float32Array(heads * headDim);
  const at = (rows: Float32Array, token: number, head: number, d: number): number => rows[(token * kvHeads + head) * headDim + d] ?? Number.NaN;
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor((head * kvHeads) / heads);
    const scores = Array.from({ length: first + 1 }, (_, token) => {
      let score = 0;
      for (let d = 0; d < headDim; d++) score += (query[head * headDim + d] ?? Number.NaN) * at(keys, token, kvHead, d);
      return scale * score;
    });
    const total = logSumExp(Float64Array.from(scores));
    for (let d = 0; d < headDim; d++) {
      out[head * headDim + d] = scores.reduce((sum, score, token) => sum + Math.exp(score - total) * at(values, token, kvHead, d), 0);
    }
  }
  return out;
}

type Backend = Awaited<ReturnType<typeof cpuBackend>>;

/** Options under which a prompt of 300 tokens is long. */
const small: Record<string, Record<string, unknown>> = {
  "infllm-v2": { kernelSize: 8, kernelStride: 4, blockSize: 16, windowSize: 32, topk: 4 },
  "infllm-v2-exact": { kernelSize: 8, kernelStride: 4, blockSize: 16, windowSize: 32, topk: 4 },
  "sliding-window": { sinks: 2, window: 60 },
  yarn: { originalContext: 64 },
  "infllm-v1": { initTokens: 4, localWindow: 48, blockSize: 16, topk: 2, chunk: 32 },
  minference: { budget: 194 },
  nsa: { compressSize: 8, compressStride: 4, blockSize: 16, blocks: 5, window: 40 },
};
/** What a row sees does not depend on which rows come with it. */
const byRow = ["full", "infllm-v2", "infllm-v2-exact", "sliding-window", "yarn", "nsa"] as const;

const prompt = Array.from({ length: 300 }, (_, i) => 4 + ((i * 31 + 7 * (i % 13)) % 250));
const answer = { maxTokens: 12, ignoreEos: true } as const;

describe("a model under a method", () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await cpuBackend({ threads: 2 });
  });
  afterAll(() => backend.close());

  async function under<T>(name: string, use: (model: Model) => Promise<T>): Promise<T> {
    const method = createMethod(name, small[name]);
    const model = await loadModel(hfFiles(randomModel("qwen3")), { backend, contextLength: 400, chunk: 128, method });
    try {
      return await use(model);
    } finally {
      await model.close();
    }
  }

  it.each(byRow)("%s: decodes what it finds most likely in one pass", async (name) => {
    await under(name, async (model) => {
      const { stats } = await collect(model, prompt, answer);
      const ids = [...prompt, ...stats.tokens];
      const positions = stats.tokens.map((_, i) => prompt.length - 1 + i);
      expect([...(await model.score(ids, { positions })).best]).toEqual(stats.tokens);
    });
  });

  it.each(methodNames)("%s: starts anew with every prompt, and gives everything back", async (name) => {
    const [first, again] = await under(name, async (model) => [
      (await collect(model, prompt, answer)).stats.tokens,
      await collect(model, prompt.slice(100), answer).then(() => collect(model, prompt, answer)).then(({ stats }) => stats.tokens),
    ]);
    expect(again).toEqual(first);
    // The machine keeps scratch memory, which grows with the largest op so far.
    await under(name, async (model) => collect(model, prompt, answer));
    const after = backend.memory().used;
    await under(name, async (model) => collect(model, prompt, answer));
    expect(backend.memory().used).toBe(after);
  });

  it.each([["sliding-window", 200], ["infllm-v1", 0]] as const)("%s: a session takes up %i tokens of an edited conversation", async (name, cachedTokens) => {
    await under(name, async (model) => {
      const session = model.createSession();
      await collect(session, prompt, answer);
      const edited = [...prompt.slice(0, 200), ...prompt.slice(230)];
      const { stats } = await collect(session, edited, answer);
      const alone = await collect(model, edited, answer);
      expect(stats.cachedTokens).toBe(cachedTokens);
      expect(stats.tokens).toEqual(alone.stats.tokens);
    });
  });

  it("minference: answers over everything that its sparse prompt left in the cache", async () => {
    const method = createMethod("minference", small["minference"]);
    const decoded = { steps: 0 };
    // The same method, but one row attends by plain arithmetic over all keys and values.
    const plain: AttentionMethod = {
      ...method,
      begin(place) {
        const own = method.begin?.(place);
        if (own === undefined) throw new Error("minference attends itself");
        return {
          release: () => own.release(),
          attend(step) {
            if (step.rows > 1) return own.attend(step);
            decoded.steps++;
            place.backend.write(step.out, attendAll(place, step));
          },
        };
      },
    };
    const answerUnder = async (own: AttentionMethod) => {
      const model = await loadModel(hfFiles(randomModel("qwen3")), { backend, contextLength: 400, method: own });
      const { stats } = await collect(model, prompt, answer);
      await model.close();
      return stats.tokens;
    };
    expect(await answerUnder(plain)).toEqual(await answerUnder(method));
    expect(decoded.steps).toBeGreaterThan(answer.maxTokens);
  });

  it("needs a backend that the host can steer, where the method attends itself", async () => {
    const { host: _, ...plain } = backend;
    const load = (name: string) => loadModel(hfFiles(randomModel("qwen3")), { backend: plain, method: createMethod(name, small[name]) });
    await expect(load("sliding-window")).rejects.toThrow(UnsupportedError);
    await expect(load("sliding-window")).rejects.toThrow(/sliding-window.*Use the cpu backend/);
    await (await load("infllm-v2")).close();
  });

  it("counts what the method keeps beside the cache", async () => {
    const plain = await under("full", async (model) => model.cacheBytes);
    // K and V of 2 layers, 2 KV heads of 16, f32, for 400 tokens in pages of 64.
    expect(await under("sliding-window", async (model) => model.cacheBytes)).toBe(plain + 2 * 2 * 2 * 16 * 4 * 448);
  });

  it("refuses numbers that do not fit the model's own", async () => {
    const method = createMethod("infllm-v2", { blockSize: 24 });
    await expect(loadModel(hfFiles(randomModel("qwen3")), { backend, method })).rejects.toThrow(/blockSize 24 is no multiple/);
  });
});
