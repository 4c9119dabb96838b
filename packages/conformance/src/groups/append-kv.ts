/** Keys and values in pages. */
import { expect } from "vitest";
import type { Checks } from "../checks.ts";
import { CacheRig } from "../cache-rig.ts";
import { expectSame } from "../compare.ts";
import { plainShape, testConfigs } from "../configs.ts";
import { layerInputs, rowRange } from "../layer-inputs.ts";

export function appendCases(checks: Checks): void {
  const shape = plainShape(checks.backend.capabilities);
  const width = shape.kvHeads * shape.headDim;
  checks.group("appendKv", () => {
    for (const dtype of checks.backend.capabilities.kvCache) {
      checks.check(`${dtype}: two sequences, appended in turns`, async (device) => {
        const rig = CacheRig.create(device, { ...shape, contextLength: 200, sequences: 2, dtype });
        const [a, b] = [layerInputs(1, 131, shape), layerInputs(2, 70, shape)];
        const part = (from: typeof a, at: number, count: number): { k: Float32Array; v: Float32Array } => ({
          k: rowRange(from.k, width, at, count),
          v: rowRange(from.v, width, at, count),
        });
        rig.append([{ sequence: 0, ...part(a, 0, 3) }, { sequence: 1, ...part(b, 0, 69) }]);
        rig.append([{ sequence: 1, ...part(b, 69, 1) }, { sequence: 0, ...part(a, 3, 61) }]);
        rig.append([{ sequence: 0, ...part(a, 64, 67) }]);
        rig.query([{ sequence: 0, from: 0, count: 1 }, { sequence: 1, from: 0, count: 1 }]);
        for (const [sequence, inputs, length] of [[0, a, 131], [1, b, 70]] as const) {
          expectSame(`keys ${sequence}`, await rig.read("keys", sequence, 0, length), rig.asCached(inputs.k));
          expectSame(`values ${sequence}`, await rig.read("values", sequence, 0, length), rig.asCached(inputs.v));
        }
        expectSame("a range", await rig.read("keys", 0, 62, 66), rig.asCached(rowRange(a.k, width, 62, 4)));
      });
    }

    checks.check("truncated tokens are replaced by what is appended next", async (device) => {
      const rig = CacheRig.create(device, { ...shape, contextLength: 200 });
      const [first, second] = [layerInputs(3, 150, shape), layerInputs(4, 150, shape)];
      rig.append([{ sequence: 0, k: first.k, v: first.v }]);
      rig.sequences[0]?.truncate(60);
      const [k, v] = [rowRange(second.k, width, 60, 90), rowRange(second.v, width, 60, 90)];
      rig.append([{ sequence: 0, k, v }]);
      const expected = rig.asCached([...rowRange(first.k, width, 0, 60), ...k]);
      expectSame("keys", await rig.read("keys", 0, 0, 150), expected);
    });

    checks.check("cache bytes are known before and counted after", async (device) => {
      const { selection, backend } = device;
      const cacheShape = {
        pages: 7, kvHeads: shape.kvHeads, headDim: shape.headDim, blockSize: 64,
        dtype: backend.capabilities.kvCache[0] ?? "f32", sparse: testConfigs["blocks of 64"],
      } as const;
      const shapes = [cacheShape, { ...cacheShape, pages: 1 }].map(({ sparse, ...rest }) => (sparse ? { ...rest, sparse } : rest));
      for (const each of shapes) {
        const before = backend.memory().used;
        const cache = selection.allocateCache(each);
        expect(cache.bytes).toBe(selection.cacheBytes(each));
        expect(backend.memory().used - before).toBeGreaterThanOrEqual(cache.bytes);
        cache.release();
        expect(backend.memory().used).toBe(before);
      }
    });

    checks.check("a cache without pages is refused", async (device) => {
      const cacheShape = { pages: 0, kvHeads: 1, headDim: shape.headDim, blockSize: 64, dtype: "f32" } as const;
      expect(() => device.selection.allocateCache(cacheShape)).toThrow();
    });
  });
}
