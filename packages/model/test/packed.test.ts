/** Packed checkpoints against weights that `fixtures/hf/make.py` packed by the formats' published definitions. */
import { fromF32, toF32 } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../src/config/options.ts";
import { asStored, packedConfig } from "../src/packed/packed-config.ts";
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
      const weights = packedWeights(module, packedConfig(config, "cases.json"), new Map());
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

  it("fused, as CPM.cu repacks GPTQ checkpoints of MiniCPM4: q, k, v in one matrix in Marlin's order", async () => {
    const source = tensorsUnder(file, "marlin.");
    const fused = "model.layers.0.self_attn.qkv_proj";
    const inner: Record<string, string> = { [`${fused}.qweight`]: "B", [`${fused}.scales`]: "s" };
    const reads: string[] = [];
    const repacked = {
      names: Object.keys(inner),
      info: (name: string) => source.info(inner[name] ?? ""),
      readRows: (name: string, from: number, to: number) => (reads.push(name), source.readRows(inner[name] ?? "", from, to)),
    };
    const config = asStored(packedConfig({ quant_method: "gptq", bits: 4, group_size: 128, checkpoint_format: "gptq" }, "config.json"), repacked.names);
    expect(config.description).toBe("GPTQ in Marlin's order, 4 bits, groups of 128");
    const parts = [["q", 160], ["k", 48], ["v", 48]] as const;
    const expected = new Map(parts.map(([part, rows]) => [`model.layers.0.self_attn.${part}_proj.weight`, [rows, 256]]));
    const weights = packedWeights(repacked, config, expected);
    expect([...weights.names].sort()).toEqual([...expected.keys()].sort());
    let first = 0;
    for (const [part, rows] of parts) {
      const name = `model.layers.0.self_attn.${part}_proj.weight`;
      expect(weights.info(name)).toEqual({ dtype: "q4_g128", shape: [rows, 256] });
      const values = toF32("q4_g128", await weights.readRows(name, 0, rows), rows * 256);
      expect(fromF32("f16", values)).toEqual(await source.readRows("expected", first, first + rows));
      first += rows;
    }
    expect(reads.filter((name) => name.endsWith("qweight"))).toHaveLength(1);

    // All at once, as rows are read ahead.
    const whole = await source.readRows("expected", 0, 256);
    const ahead = parts.map(async ([part, rows]) => {
      const name = `model.layers.0.self_attn.${part}_proj.weight`;
      const halves = await Promise.all([weights.readRows(name, 0, 16), weights.readRows(name, 16, rows)]);
      return halves.map((half) => [...fromF32("f16", toF32("q4_g128", half, (half.length / 68) * 128))]).flat();
    });
    expect((await Promise.all(ahead)).flat()).toEqual([...whole]);
    expect(reads.filter((name) => name.endsWith("qweight"))).toHaveLength(2);
    expect(() => packedWeights(repacked, config, new Map([...expected].slice(1)))).toThrow(/holds 256 rows, but the config gives .* 96 together/);
  });
});
