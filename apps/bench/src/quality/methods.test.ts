import { BadUsageError } from "@infllm/command";
import { sparseConfig } from "@infllm/block-selection";
import { describe, expect, it } from "vitest";
import { methodDefaults, methodModel, usualMethods } from "./fitting.ts";
import { chooseMethods, optionsOf } from "./methods.ts";

describe("chooseMethods", () => {
  it("reads names and options, and keeps the label as given", () => {
    const [full, sparse] = chooseMethods(["full", "infllm-v2:topk=32:windowSize=256"]);
    expect([full?.label, full?.method.name]).toEqual(["full", "full"]);
    expect(sparse?.label).toBe("infllm-v2:topk=32:windowSize=256");
    expect(sparse?.method.model.sparse).toMatchObject({ topk: 32, windowSize: 256 });
  });

  it("reads the type of the KV cache that a method runs on, and keeps it among its options", () => {
    const [plain, eight] = chooseMethods(["full", "infllm-v2:topk=32:kvCache=q8"]);
    expect([plain?.kvCache, eight?.kvCache]).toEqual([undefined, "q8"]);
    expect(eight && optionsOf(eight)).toMatchObject({ topk: 32, kvCache: "q8" });
    expect(plain && optionsOf(plain)).not.toHaveProperty("kvCache");
  });

  it.each([
    [["full:kvCache=int8"], '"full:kvCache=int8" has no type of KV cache in kvCache; allowed are f32, f16, bf16, q8'],
    [["sparse"], 'There is no attention method "sparse"; there are full, infllm-v2'],
    [["infllm-v2:topk"], "write options as name=value"],
    [["infllm-v2:blocks=3"], 'unknown option "blocks"'],
    [["sliding-window:window=none"], "window is \"none\"; it must be a whole number from 1"],
    [["full", "full"], 'names "full" twice'],
  ])("refuses %j", (labels, message) => {
    expect(() => chooseMethods(labels)).toThrow(BadUsageError);
    expect(() => chooseMethods(labels)).toThrow(message);
  });

  it("gives every method the tokens that the model's own sparse attention reads", () => {
    const tiny = sparseConfig({ windowSize: 512, topk: 16, denseLen: 4096 });
    for (const sparse of [tiny, sparseConfig()]) {
      const budget = (sparse.topk + sparse.windowSize / 64) * 64;
      const [window, memory, minference] = chooseMethods(["sliding-window", "infllm-v1", "minference"], methodDefaults({ sparse })).map(optionsOf);
      const number = (options: typeof window, name: string): number => Number(options?.[name]);
      expect(number(window, "sinks") + number(window, "window")).toBe(budget);
      expect(number(memory, "initTokens") + number(memory, "localWindow") + number(memory, "topk") * number(memory, "blockSize")).toBe(budget);
      expect(number(minference, "budget")).toBe(budget);
    }
  });

  it("lets what is given win over what fits", () => {
    const [window] = chooseMethods(["sliding-window:window=100"], methodDefaults({}));
    expect(optionsOf(window ?? { label: "", method: { name: "", options: {}, model: { attention: "dense" } } })).toMatchObject({ sinks: 4, window: 100 });
  });
});

describe("methods of a model", () => {
  it("leaves out what needs other weights, unless they are there", async () => {
    expect(await usualMethods("embedded")).toEqual(["full", "infllm-v2", "infllm-v2-exact", "sliding-window", "yarn", "infllm-v1", "minference"]);
    expect(await usualMethods("./some-model")).not.toContain("yarn");
  });

  it("stretches the weights from before long training", () => {
    const [yarn, full] = chooseMethods(["yarn", "full"]);
    if (yarn === undefined || full === undefined) throw new Error("no methods");
    expect([methodModel("embedded", yarn), methodModel("embedded", full), methodModel("./other", yarn)]).toEqual(["embedded-short", "embedded", "./other"]);
  });
});
