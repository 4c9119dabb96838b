/** Types of the KV cache: how many bytes they take, what they cost, and what is refused. */
import { referenceBackend, cpuBackend } from "@infllm/backend-cpu";
import { ConfigError } from "@infllm/tensor";
import type { CacheDType } from "@infllm/tensor";
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

  it("takes half the bytes of 16 bits in f8_e4m3, and as many as foretold", async () => {
    const description = await inspectModel("embedded");
    const bytes = (kvCache: CacheDType): number => description.memoryAt(2048, undefined, { kvCache }).kvCache;
    // Keys and values of 64 numbers over 8 layers; 5/64 compressed keys per key keep 16 bits.
    expect(bytes("f16")).toBe(8 * 64 * 2048 * (2 * 2 + (5 / 64) * 2));
    expect(bytes("f8_e4m3")).toBe(8 * 64 * 2048 * (2 * 1 + (5 / 64) * 2));
    for (const kvCache of ["f16", "f8_e4m3"] as const) {
      const model = await load(kvCache);
      expect(model.cacheBytes).toBe(description.memoryAt(2048, backend, { kvCache }).kvCache);
      await model.close();
    }
  });

  it.each(["dense", "sparse"] as const)("answers in f8_e4m3 as in f32, attending %sly", async (attention) => {
    const answers: string[] = [];
    for (const kvCache of ["f32", "f8_e4m3"] as const) {
      const model = await load(kvCache);
      let answer = "";
      for await (const piece of model.generate([{ role: "user", content: prompt }], { attention, temperature: 0, maxTokens: 24 })) answer += piece;
      answers.push(answer);
      await model.close();
    }
    expect(answers[0]).toContain("4815162");
    expect(answers[1]).toBe(answers[0]);
  });

  it("loses little in f8_e4m3, and more than in f16", async () => {
    const [exact, half, eight] = await Promise.all([load("f32"), load("f16"), load("f8_e4m3")]);
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
    expect(of8).toBeLessThan(0.1);
    for (const model of [exact, half, eight]) await model.close();
  });

  it("is refused by name where there is no such type, before memory is taken", async () => {
    const { used } = backend.memory();
    const loading = loadModel("embedded", { backend, contextLength: 256, kvCache: "int8" as CacheDType });
    await expect(loading).rejects.toThrow(ConfigError);
    await expect(loading).rejects.toThrow("a cache of int8 cannot be had on this backend; it offers f32, bf16, f16, f8_e4m3");
    expect(backend.memory().used).toBe(used);
    const description = await inspectModel("embedded");
    const estimate = () => description.memoryAt(256, undefined, { kvCache: "int8" as CacheDType });
    expect(estimate).toThrow(ConfigError);
    expect(estimate).toThrow('kvCache is "int8"; it must be one of f32, f16, bf16, f8_e4m3');
  });

  it("is refused where a backend has no kernels for it", async () => {
    const plain = referenceBackend();
    const without = { ...plain, capabilities: { ...plain.capabilities, kvCache: ["f32", "f16"] as const } };
    await expect(loadModel("embedded", { backend: without, contextLength: 64, kvCache: "f8_e4m3" })).rejects.toThrow("it offers f32, f16. Choose one");
    await plain.close();
  });
});
