/** Fine and coarse keys. */
import { dtypeInfo, random } from "@infllm/tensor";
import type { CompressedKeys } from "@infllm/block-selection";
import type { Checks } from "../checks.ts";
import { CacheRig, concatenate } from "../cache-rig.ts";
import { expectClose, expectSame, mustBe } from "../compare.ts";
import { plainShape, testConfigs } from "../configs.ts";
import { layerInputs, rowRange } from "../layer-inputs.ts";

/** A mean of numbers below 4: one rounding per addition at most, then one of the store. */
function expectMeans(rig: CacheRig, actual: CompressedKeys, expected: CompressedKeys, size: number): void {
  const allowed = 4 * (size * dtypeInfo("f32").epsilon + dtypeInfo(rig.compressedDType).epsilon);
  expectClose("fine keys", actual.fine, expected.fine, allowed);
  expectClose("coarse keys", actual.coarse, expected.coarse, allowed);
}

export function compressCases(checks: Checks): void {
  const { capabilities } = checks.backend;
  const shape = plainShape(capabilities);
  const width = shape.kvHeads * shape.headDim;
  checks.group("compressKeys", () => {
    for (const [name, sparse] of Object.entries(testConfigs)) {
      checks.check(name, async (device) => {
        for (const length of [1, 31, 32, 33, 127, 128, 129, 300]) {
          const rig = CacheRig.create(device, { ...shape, contextLength: length, sparse });
          const { k, v } = layerInputs(length, length, shape);
          rig.append([{ sequence: 0, k, v }]);
          expectMeans(rig, await rig.compressed(0, length), rig.expectedCompressed(k), 4 * sparse.kernelSize);
          device.releaseAll();
        }
      });
    }

    for (const dtype of capabilities.kvCache) {
      checks.check(`a ${dtype} cache`, async (device) => {
        const sparse = testConfigs["blocks of 64"];
        if (sparse === undefined) return;
        const rig = CacheRig.create(device, { ...shape, contextLength: 300, sparse, dtype });
        const { k, v } = layerInputs(9, 300, shape);
        rig.append([{ sequence: 0, k, v }]);
        expectMeans(rig, await rig.compressed(0, 300), rig.expectedCompressed(k), 128);
      });
    }

    checks.check("token by token gives the same bits as at once", async (device) => {
      for (const sparse of Object.values(testConfigs)) {
        const length = 140;
        const { k, v } = layerInputs(6, length, shape);
        const rig = CacheRig.create(device, { ...shape, contextLength: length, sequences: 2, sparse });
        rig.append([{ sequence: 0, k, v }]);
        const whole = await rig.compressed(0, length);
        for (let at = 0; at < length; at++) {
          rig.append([{ sequence: 1, k: rowRange(k, width, at, 1), v: rowRange(v, width, at, 1) }]);
        }
        const single = await rig.compressed(0, length);
        expectSame("fine keys", single.fine, whole.fine);
        expectSame("coarse keys", single.coarse, whole.coarse);
        device.releaseAll();
      }
    });

    checks.check("tokens that were taken back leave no trace", async (device) => {
      for (const [seed, sparse] of Object.values(testConfigs).entries()) {
        const length = 300;
        const { k, v } = layerInputs(7, length, shape);
        const rig = CacheRig.create(device, { ...shape, contextLength: length + 8, sequences: 2, sparse });
        rig.append([{ sequence: 0, k, v }]);
        const whole = await rig.compressed(0, length);
        const { below } = random(seed);
        // A few tokens that stay, and up to eight of NaN that do not, windows that end among them included.
        for (let at = 0; at < length; ) {
          const [right, wrong] = [Math.min(1 + below(5), length - at), below(9)];
          const rows = (of: Float32Array) => concatenate([rowRange(of, width, at, right), new Float32Array(wrong * width).fill(NaN)]);
          rig.append([{ sequence: 1, k: rows(k), v: rows(v) }]);
          at += right;
          mustBe(rig.sequences[1]).truncate(at);
        }
        const kept = await rig.compressed(0, length);
        expectSame("fine keys", kept.fine, whole.fine);
        expectSame("coarse keys", kept.coarse, whole.coarse);
        expectSame("keys", await rig.read("keys", 0, 0, length), rig.asCached(k));
        device.releaseAll();
      }
    });
  });
}
