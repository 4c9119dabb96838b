/** Dense attention. */
import type { Checks } from "../checks.ts";
import { checkDense } from "../attention-case.ts";
import { CacheRig, concatenate } from "../cache-rig.ts";
import { expectSame, mustBe } from "../compare.ts";
import { headShapes, plainShape, shapeName } from "../configs.ts";
import { fillLayer } from "../filled-layer.ts";
import { fewPositions, layerInputs, rowRange } from "../layer-inputs.ts";

export function attendDenseCases(checks: Checks): void {
  const { capabilities } = checks.backend;
  const plain = plainShape(capabilities);
  checks.group("attendDense", () => {
    for (const length of [1, 2, 7, 8, 63, 64, 65, 130, 260]) {
      checks.check(`length ${length}, all rows`, async (device) => {
        await checkDense(fillLayer(device, { shape: plain, length, positions: Array.from({ length }, (_, position) => position) }));
      });
    }
    for (const shape of headShapes(capabilities)) {
      checks.check(shapeName(shape), async (device) => {
        await checkDense(fillLayer(device, { shape, length: 300, positions: fewPositions(300) }));
      });
    }
    for (const dtype of capabilities.kvCache) {
      checks.check(`a ${dtype} cache`, async (device) => {
        await checkDense(fillLayer(device, { shape: plain, length: 200, positions: fewPositions(200), dtype }));
      });
    }
    for (const rows of [1, 7, 8, 9, 63, 64, 65]) {
      checks.check(`${rows} rows over a cache of 200`, async (device) => {
        const positions = Array.from({ length: rows }, (_, i) => 200 - rows + i);
        await checkDense(fillLayer(device, { shape: plain, length: 200, positions }));
      });
    }

    checks.check("a batch gives what each sequence gives alone", async (device) => {
      const lengths = [1, 65, 300, 128];
      const inputs = lengths.map((length, i) => layerInputs(30 + i, length, plain));
      const rig = CacheRig.create(device, { ...plain, contextLength: 300, sequences: 4, rows: 500 });
      rig.append(inputs.map(({ k, v }, sequence) => ({ sequence, k, v })));
      const entries = [
        { sequence: 2, from: 293, count: 7 }, { sequence: 0, from: 0, count: 1 },
        { sequence: 3, from: 0, count: 128 }, { sequence: 1, from: 64, count: 1 },
      ];
      rig.query(entries);
      const width = plain.heads * plain.headDim;
      const q = device.asActivations(concatenate(entries.map(({ sequence, from, count }) => rowRange(mustBe(inputs[sequence]).q, width, from, count))));
      const rows = entries.flatMap(({ sequence, from, count }) => Array.from({ length: count }, (_, i) => ({ sequence, position: from + i })));
      await checkDense({ ...plain, rig, q, rows, scale: 0.125, contents: inputs });
    });

    checks.check("logits of hundreds do not overflow", async (device) => {
      const test = fillLayer(device, { shape: plain, length: 100, positions: [0, 50, 99] });
      await checkDense({ ...test, scale: 40 / Math.sqrt(plain.headDim) });
    });

    checks.check("the first token's output is its value", async (device) => {
      const test = fillLayer(device, { shape: plain, length: 3, positions: [0] });
      const { heads, kvHeads, headDim } = plain;
      const value = test.rig.asCached(mustBe(test.contents[0]).v);
      const expected = Array.from({ length: heads }, (_, head) => Array.from(rowRange(value, headDim, Math.floor((head * kvHeads) / heads), 1)));
      expectSame("out", await checkDense(test), device.asActivations(expected.flat()));
    });
  });
}
