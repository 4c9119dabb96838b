import { ConfigError } from "@infllm/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sparseConfig, sparseDefaults } from "./config.ts";
import { blockBudget, localBlocks } from "./geometry.ts";

describe("sparseConfig", () => {
  test("fills in MiniCPM4's numbers", () => {
    expect(sparseConfig()).toEqual(sparseDefaults);
    expect(sparseConfig({ topk: 8, windowSize: undefined })).toEqual({ ...sparseDefaults, topk: 8 });
    expect(blockBudget(sparseConfig())).toBe(96);
  });

  test.each([
    [{ kernelSize: 24 }, "kernelSize 24 is no multiple of kernelStride 16; the nearest are 16 or 32"],
    [{ blockSize: 72, windowSize: 144 }, "blockSize 72 is no multiple of kernelStride 16"],
    [{ windowSize: 100 }, "windowSize 100 is no multiple of blockSize 64; the nearest are 64 or 128"],
    [{ windowSize: 5 }, "the nearest are 64"],
    [{ blockSize: 48, windowSize: 96 }, "coarse stride 4 × kernelStride = 64 do not fit"],
    [{ topk: 1 }, "topk 1 leaves no room"],
    [{ initBlocks: 64 }, "must be at least initBlocks + 1 = 65"],
    [{ topk: 2.5 }, "topk is 2.5"],
    [{ topk: 0 }, "topk is 0"],
    [{ kernelStride: -16 }, "kernelStride is -16"],
    [{ denseLen: -2 }, "denseLen is -2"],
    [{ windowSize: Infinity }, "windowSize is Infinity"],
    [{ lse: "fast" as "exact" }, 'lse is "fast"'],
    [{ topK: 5 } as object, 'unknown option "topK"'],
  ])("refuses %j", (options, message) => {
    expect(() => sparseConfig(options)).toThrow(ConfigError);
    expect(() => sparseConfig(options)).toThrow(message);
  });

  test("what it accepts always has room for the forced blocks", () => {
    const power = fc.integer({ min: 0, max: 8 }).map((exponent) => 2 ** exponent);
    const numbers = fc.record({
      kernelSize: power, kernelStride: power, blockSize: power, windowSize: fc.integer({ min: 0, max: 512 }),
      initBlocks: fc.integer({ min: 0, max: 4 }), topk: fc.integer({ min: 0, max: 8 }),
    });
    let accepted = 0;
    fc.assert(
      fc.property(numbers, (options) => {
        try {
          const config = sparseConfig(options);
          accepted++;
          expect(Number.isInteger(localBlocks(config))).toBe(true);
          expect(blockBudget(config)).toBeGreaterThanOrEqual(config.initBlocks + localBlocks(config) + 1);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { seed: 1, numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(20);
  });
});
