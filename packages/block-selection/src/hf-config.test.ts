import { ConfigError, UnsupportedError } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { sparseConfig } from "./config.ts";
import { sparseConfigFromHf, sparseConfigToHf } from "./hf-config.ts";

const published = {
  kernel_size: 32, kernel_stride: 16, init_blocks: 1, block_size: 64, window_size: 2048, topk: 64, use_nope: false, dense_len: 8192,
};

describe("sparseConfigFromHf", () => {
  test("reads a published config", () => {
    expect(sparseConfigFromHf(published)).toEqual(sparseConfig());
    expect(sparseConfigFromHf({ ...published, topk: 16, dense_len: -1, lse: "exact" })).toEqual(
      sparseConfig({ topk: 16, denseLen: -1, lse: "exact" }),
    );
  });

  test("comes back from sparseConfigToHf", () => {
    const config = sparseConfig({ kernelSize: 16, kernelStride: 8, blockSize: 32, windowSize: 96, topk: 5, initBlocks: 2, denseLen: 0, lse: "exact" });
    expect(sparseConfigFromHf(JSON.parse(JSON.stringify(sparseConfigToHf(config))))).toEqual(config);
  });

  test.each([
    [{ ...published, block_sise: 64 }, ConfigError, 'unknown key "block_sise"'],
    [{ ...published, topk: "64" }, ConfigError, 'sparse_config.topk is "64"'],
    [{ ...published, lse: "half" }, ConfigError, "sparse_config.lse"],
    [{ ...published, use_nope: true }, UnsupportedError, "use_nope"],
    [{ ...published, use_nope: 1 }, ConfigError, "use_nope"],
    [{ ...published, toString: 1 }, ConfigError, 'unknown key "toString"'],
    [null, ConfigError, "must be an object"],
    [[64], ConfigError, "must be an object"],
    ["sparse", ConfigError, "must be an object"],
  ])("refuses %j", (json, kind, message) => {
    expect(() => sparseConfigFromHf(json)).toThrow(kind);
    expect(() => sparseConfigFromHf(json)).toThrow(message);
  });
});
