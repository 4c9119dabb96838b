/** A recorded decode step, replayed while the sequence grows. */
import { blockBudget } from "@infllm/block-selection";
import { attendLayer } from "@infllm/attention";
import type { AttentionBackend } from "@infllm/attention";
import type { CacheDType } from "@infllm/tensor";
import { expect } from "vitest";
import { checkDense, expectSparse, referenceBlocks } from "../attention-case.ts";
import { CacheRig } from "../cache-rig.ts";
import type { Checks } from "../checks.ts";
import { expectSame, mustBe } from "../compare.ts";
import { plainShape, testConfigs } from "../configs.ts";
import { GuardedPerHead } from "../guards.ts";
import { layerInputs, rowRange } from "../layer-inputs.ts";
import { narrowTypes } from "./narrow-caches.ts";

export function recordCases(checks: Checks): void {
  const shape = plainShape(checks.backend.capabilities);
  const { heads, kvHeads, headDim } = shape;
  const scale = 1 / Math.sqrt(headDim);
  checks.group("record", () => {
    const usual: readonly { readonly sparse: boolean; readonly dtype?: CacheDType }[] = [{ sparse: true }, { sparse: false }];
    for (const { sparse, dtype } of [...usual, ...narrowTypes(checks).map((narrow) => ({ sparse: true, dtype: narrow }))]) {
      const over = dtype === undefined ? "" : ` over a cache of ${dtype}`;
      checks.check(`a ${sparse ? "sparse" : "dense"} decode step${over}, replayed for 70 tokens in two sequences`, async (device) => {
        const config = mustBe(testConfigs["blocks of 64"]);
        const starts = [250, 3];
        const steps = 70;
        const rig = CacheRig.create(device, { ...shape, contextLength: 330, sequences: 2, sparse: config, ...(dtype && { dtype }) });
        const inputs = starts.map((start, s) => layerInputs(50 + s, start + steps, shape));
        rig.append(inputs.map(({ k, v }, sequence) => ({
          sequence,
          k: rowRange(k, kvHeads * headDim, 0, mustBe(starts[sequence])),
          v: rowRange(v, kvHeads * headDim, 0, mustBe(starts[sequence])),
        })));
        const [q, k, v] = [device.inout(new Float32Array(2 * heads * headDim), heads * headDim), ...["k", "v"].map(() => device.inout(new Float32Array(2 * kvHeads * headDim), kvHeads * headDim))];
        const out = device.output(2, heads * headDim);
        const indices = new GuardedPerHead(device, "i32", kvHeads, 2, blockBudget(config));
        const advance = (): void => rig.state.set(rig.sequences.map((sequence) => ({ sequence, count: 1 })));
        advance();
        const step = device.hold(device.backend.record(() => {
          attendLayer(device.backend as AttentionBackend, {
            q: mustBe(q).tensor, k: mustBe(k).tensor, v: mustBe(v).tensor, cache: rig.layer, batch: rig.batch,
            scale, sparse, blockIndices: indices.tensor, out: out.tensor,
          });
        }));
        for (let i = 0; i < steps; i++) {
          if (i > 0) advance();
          const rows = starts.map((start, sequence) => ({ sequence, position: start + i }));
          const pick = (name: "q" | "k" | "v", width: number): Float32Array => {
            const both = rows.flatMap(({ sequence, position }) => Array.from(rowRange(mustBe(inputs[sequence])[name], width, position, 1)));
            return device.asActivations(both);
          };
          const queries = pick("q", heads * headDim);
          mustBe(q).fill(queries);
          mustBe(k).fill(pick("k", kvHeads * headDim));
          mustBe(v).fill(pick("v", kvHeads * headDim));
          step.run();
          if (i % 9 !== 0 && i !== steps - 1) continue;
          const contents = inputs.map((each, s) => ({
            k: rowRange(each.k, kvHeads * headDim, 0, mustBe(rows[s]).position + 1),
            v: rowRange(each.v, kvHeads * headDim, 0, mustBe(rows[s]).position + 1),
          }));
          const test = { ...shape, rig, q: queries, rows, scale, contents };
          const result = await out.read();
          if (sparse) {
            const blocks = Int32Array.from(await indices.read());
            expectSame("blocks", blocks, referenceBlocks(test, config, blockBudget(config)));
            expectSparse(`step ${i}`, test, result, blocks);
          } else {
            expectSame(`step ${i}`, result, await checkDense(test));
          }
        }
      });
    }

    if (checks.backend.measure !== undefined && checks.backend.neural !== undefined) {
      checks.check("pieces that are measured run in order, and take some time", async (device) => {
        const [rows, width] = [3, 64];
        const gateUp = device.input(Float32Array.from({ length: rows * 2 * width }, (_, i) => Math.sin(i)), 2 * width);
        const weight = device.tensor("f32", [width], new Float32Array(width).fill(1));
        const [gated, out] = [device.output(rows, width), device.output(rows, width)];
        const pieces = [
          () => device.neural.swiglu({ gateUp, out: gated.tensor }),
          () => undefined,
          () => device.neural.rmsNorm({ x: gated.tensor, weight, epsilon: 1e-6, out: out.tensor }),
        ];
        for (const piece of pieces) piece();
        const expected = await out.read();
        const zeros = (): Float32Array => new Float32Array(rows * width);
        out.fill(zeros());
        gated.fill(zeros());
        const seconds = await mustBe(device.backend.measure)(pieces);
        expect(seconds.length).toBe(3);
        for (const each of seconds) expect(each).toBeGreaterThanOrEqual(0);
        expect(Math.max(...seconds)).toBeLessThan(1);
        expectSame("results", await out.read(), expected);
      });
    }

    checks.check("a recorded step does not have to run", async (device) => {
      const tensor = device.tensor("f32", [2], [1, 2]);
      const step = device.backend.record(() => undefined);
      step.release();
      expectSame("tensor", await device.read(tensor), [1, 2]);
    });

    checks.check("an error while recording leaves the backend usable", async (device) => {
      expect(() => device.backend.record(() => { throw new Error("refused"); })).toThrow("refused");
      const rig = CacheRig.create(device, { ...shape, contextLength: 8 });
      const { q, k, v } = layerInputs(1, 8, shape);
      rig.append([{ sequence: 0, k, v }]);
      rig.query([{ sequence: 0, from: 7, count: 1 }]);
      const last = device.asActivations(rowRange(q, heads * headDim, 7, 1));
      await checkDense({ ...shape, rig, q: last, rows: [{ sequence: 0, position: 7 }], scale, contents: [{ k, v }] });
    });
  });
}
