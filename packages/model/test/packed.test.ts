/** Packed checkpoints against weights that `fixtures/hf/make.py` packed by the formats' published definitions. */
import { fromF32, toF32 } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../src/config/options.ts";
import { packedConfig } from "../src/packed/packed-config.ts";
import { packedWeights } from "../src/packed/packed-weights.ts";
import { fixtureJson, fixtureTensors, tensorsUnder } from "./support/fixture-source.ts";

const cases = fixtureJson("packed/cases.json") as Record<string, JsonObject>;
const stored = ["gptq_group_64", "gptq_group_32", "awq_group_64"];

describe("packed weights are, to the bit, the float16 numbers that their kernels compute", async () => {
  const file = await fixtureTensors("packed/packed.safetensors");

  for (const [name, config] of Object.entries(cases)) {
    it(name, async () => {
      const source = tensorsUnder(file, `${name}.`);
      const module = {
        ...source,
        names: source.names.map((part) => `linear.${part}`),
        info: (part: string) => source.info(part.replace("linear.", "")),
        readRows: (part: string, from: number, to: number) => source.readRows(part.replace("linear.", ""), from, to),
      };
      const weights = packedWeights(module, packedConfig(config, "cases.json"), new Set());
      await weights.verify?.();
      expect(weights.names.filter((each) => !each.endsWith("expected"))).toEqual(["linear.weight"]);
      const { dtype, shape } = weights.info("linear.weight");
      expect(dtype).toBe(stored.includes(name) ? "q8_0" : "q4_g128");
      expect(shape).toEqual(source.info("expected").shape);
      const [rows = 0, columns = 0] = shape;
      const expected = await source.readRows("expected", 0, rows);
      // In one piece, and in pieces that start and end inside the blocks that formats store together.
      const whole = toF32(dtype, await weights.readRows("linear.weight", 0, rows), rows * columns);
      expect(fromF32("f16", whole)).toEqual(expected);
      for (const step of [1, 7, 20]) {
        for (let from = 0; from < rows; from += step) {
          const to = Math.min(rows, from + step);
          const piece = toF32(dtype, await weights.readRows("linear.weight", from, to), (to - from) * columns);
          expect(piece).toEqual(whole.subarray(from * columns, to * columns));
        }
      }
    });
  }
});
