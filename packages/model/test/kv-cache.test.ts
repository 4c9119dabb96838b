/** Types of the KV cache: how many bytes they take, what they cost, and what is refused. */
import { referenceBackend, cpuBackend } from "@infllm/backend-cpu";
import { ConfigError } from "@infllm/tensor";
import type { Backend, CacheDType } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareRows, inspectModel, loadModel } from "../src/index.ts";
import type { Model, ModelBackend } from "../src/index.ts";

const fact = "Rain fell all night. The special magic number for lighthouse is: 4815162. The sea was calm again by dawn. ";
const prompt = `${fact}${"The harbour was quiet and the boats lay still. ".repeat(60)}\n\nWhat is the special magic number for lighthouse mentioned in the text above?`;

describe("the KV cache of the embedded model", () => {
  let backend: ModelBackend;
  beforeAll(async () => {
    backend = await cpuBackend({ threads: 2 });
  });
  afterAll(() => backend.close());

  const load = (kvCache?: CacheDType): Promise<Model> => loadModel("embedded", { backend, contextLength: 2048, kvCache });

  it("takes little more than half of 16 bits in q8, and as many bytes as foretold", async () => {
    const description = await inspectModel("embedded");
    const bytes = (kvCache: CacheDType, on?: Backend): number => {
      const memory = description.memoryAt(2048, on, { kvCache });
      return memory.kvCache + memory.compressedKeys;
    };
    // Keys and values of 64 numbers over 8 layers, in q8 with a scale of 2 bytes; 5/64 compressed keys per key keep 16 bits.
    expect(bytes("f16")).toBe(8 * 64 * 2048 * (2 * 2 + (5 / 64) * 2));
    expect(bytes("q8")).toBe(8 * 2048 * (2 * 66 + (5 / 64) * 128));
    for (const kvCache of ["f16", "q8"] as const) {
      const model = await load(kvCache);
      expect(model.cacheBytes).toBe(bytes(kvCache, backend));
      await model.close();
    }
  });

  it.each(["dense", "sparse"] as const)("answers in q8 as in f32, attending %sly", async (attention) => {
    const answers: string[] = [];
    for (const kvCache of ["f32", "q8"] as const) {
      const model = await load(kvCache);
      let answer = "";
      for await (const piece of model.generate([{ role: "user", content: prompt }], { attention, temperature: 0, maxTokens: 24 })) answer += piece;
      answers.push(answer);
      await model.close();
    }
    expect(answers[0]).toContain("4815162");
    expect(answers[1]).toBe(answers[0]);
  });

  it("loses little in q8, and more than in f16", async () => {
    const [exact, half, eight] = await Promise.all([load("f32"), load("f16"), load("q8")]);
    const ids = exact.tokenizer.encode(prompt);
    const positions = Array.from({ length: 40 }, (_, i) => ids.length - 40 + i);
    const meanKl = async (model: Model): Promise<number> => {
      let sum = 0;
      for await (const { kl } of compareRows(exact.scoreRows(ids, { positions }), model.scoreRows(ids, { positions }))) sum += kl;
      return sum / positions.length;
    };
    const [of16, of8] = [await meanKl(half), await meanKl(eight)];
    expect(of16).toBeLessThan(1e-5);
    expect(of8).toBeGreaterThan(of16);
    expect(of8).toBeLessThan(0.01);
    for (const model of [exact, half, eight]) await model.close();
  });

  it("is refused by name where there is no such type, before memory is taken", async () => {
    const { used } = backend.memory();
    const loading = loadModel("embedded", { backend, contextLength: 256, kvCache: "int8" as CacheDType });
    await expect(loading).rejects.toThrow(ConfigError);
    await expect(loading).rejects.toThrow("a cache of int8 cannot be had on this backend; it offers f32, bf16, f16, q8");
    expect(backend.memory().used).toBe(used);
    const description = await inspectModel("embedded");
    const estimate = () => description.memoryAt(256, undefined, { kvCache: "int8" as CacheDType });
    expect(estimate).toThrow(ConfigError);
    expect(estimate).toThrow('kvCache is "int8"; it must be one of f32, f16, bf16, q8');
  });

  it("is refused where a backend has no kernels for it", async () => {
    const plain = referenceBackend();
    const without = { ...plain, capabilities: { ...plain.capabilities, kvCache: ["f32", "f16"] as const } };
    await expect(loadModel("embedded", { backend: without, contextLength: 64, kvCache: "q8" })).rejects.toThrow("it offers f32, f16. Choose one");
    await plain.close();
  });
});
