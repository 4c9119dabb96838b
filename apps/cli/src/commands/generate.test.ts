import { sparseConfig } from "@infllm/block-selection";
import { describe, expect, it } from "vitest";
import { sparseHint } from "./generate.ts";

describe("sparseHint", () => {
  it("says how to switch sparse attention on, where the model does not say and the prompt is long", () => {
    expect(sparseHint(8192, { name: "MiniCPM4-8B" })).toMatch(/MiniCPM4-8B has no sparse_config.*8,192 tokens.*--attention sparse/);
    expect(sparseHint(8191, { name: "MiniCPM4-8B" })).toBeUndefined();
    expect(sparseHint(100_000, { name: "MiniCPM4-8B", sparse: sparseConfig() })).toBeUndefined();
  });
});
