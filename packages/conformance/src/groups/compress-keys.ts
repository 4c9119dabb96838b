/** Fine and coarse keys. */
import { dtypeInfo } from "@infllm/tensor";
import type { CompressedKeys } from "@infllm/block-selection";
import type { Checks } from "../checks.ts";
import { CacheRig } from "../cache-rig.ts";
import { expectClose, expectSame } from "../compare.ts";
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
  });
}
