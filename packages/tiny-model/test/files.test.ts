import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { tinyModel } from "../src/index.ts";
import { tinyModelShort } from "../src/short.ts";

describe("the embedded model's files", () => {
  it("lists every shipped file with its size", async () => {
    const sizes = await Promise.all(tinyModel.list().map(async (path) => [path, await tinyModel.size(path)] as const));
    expect(Object.fromEntries(sizes)).toMatchObject({ "model.safetensors": 20_463_992, "tokenizer.json": 264_037 });
    expect(sizes.map(([path]) => path)).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
  });

  it("reads ranges that agree with the whole file", async () => {
    const whole = new Uint8Array(await readFile(tinyModel.url("tokenizer.json")));
    expect(await tinyModel.read("tokenizer.json", 1000, 2234)).toEqual(whole.slice(1000, 2234));
    expect(await tinyModel.read("tokenizer.json", 7, 7)).toHaveLength(0);
  });

  it("holds the weights that the reference was made from", async () => {
    const bytes = await tinyModel.read("model.safetensors", 0, await tinyModel.size("model.safetensors"));
    expect(createHash("sha256").update(bytes).digest("hex")).toBe("ea0278871cdcf3a33edea2f110cb68840400383b723c85f0ac413ad7759774ee");
  });

  it("holds the weights of the first stage of training beside them, with the same other files", async () => {
    expect(tinyModelShort.list()).toEqual(tinyModel.list());
    const bytes = await tinyModelShort.read("model.safetensors", 0, await tinyModelShort.size("model.safetensors"));
    expect(createHash("sha256").update(bytes).digest("hex")).toBe("3f5dba9c30be779c7cae0d03db7024573328d201457bbcdd7dac3481f7bc2d21");
    expect(tinyModelShort.url("tokenizer.json")).toEqual(tinyModel.url("tokenizer.json"));
    await expect(tinyModelShort.read("model.bin", 0, 1)).rejects.toThrow(/"embedded-short" has no file "model.bin"/);
  });

  it("refuses unknown files and ranges outside a file", async () => {
    await expect(tinyModel.read("model.bin", 0, 1)).rejects.toThrow(/no file "model.bin"; it has config.json/);
    await expect(tinyModel.read("config.json", 0, 10_000)).rejects.toThrow(/no range in it/);
    await expect(tinyModel.read("config.json", -1, 4)).rejects.toThrow(RangeError);
  });
});
