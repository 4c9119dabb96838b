/** Block-sparse attention over blocks that the float64 reference chose, so that selection cannot hide or cause an error. */
import { dtypeInfo } from "@infllm/tensor";
import type { Checks } from "../checks.ts";
import { checkBlocks, checkDense } from "../attention-case.ts";
import { expectClose, mustBe } from "../compare.ts";
import { headShapes, plainShape, shapeName, testConfigs } from "../configs.ts";
import { blocksFor, fillLayer } from "../filled-layer.ts";
import { fewPositions, interestingPositions } from "../layer-inputs.ts";

export function attendBlocksCases(checks: Checks): void {
  const { capabilities } = checks.backend;
  const plain = plainShape(capabilities);
  const usual = mustBe(testConfigs["blocks of 64"]);
  checks.group("attendBlocks", () => {
    for (const [name, sparse] of Object.entries(testConfigs)) {
      checks.check(name, async (device) => {
        for (const length of [1, 33, 64, 65, 777]) {
          const test = fillLayer(device, { shape: plain, length, positions: interestingPositions(length), sparse });
          await checkBlocks(test, blocksFor(test, sparse));
          device.releaseAll();
        }
      });
    }
    for (const shape of headShapes(capabilities)) {
      checks.check(shapeName(shape), async (device) => {
        const test = fillLayer(device, { shape, length: 500, positions: fewPositions(500), sparse: usual });
        await checkBlocks(test, blocksFor(test, usual));
      });
    }
    for (const dtype of capabilities.kvCache) {
      checks.check(`a ${dtype} cache`, async (device) => {
        const test = fillLayer(device, { shape: plain, length: 500, positions: fewPositions(500), sparse: usual, dtype });
        await checkBlocks(test, blocksFor(test, usual));
      });
    }
    for (const rows of [1, 7, 8, 9, 63, 64, 65]) {
      checks.check(`${rows} rows over a cache of 600`, async (device) => {
        const positions = Array.from({ length: rows }, (_, i) => 600 - rows + i);
        const test = fillLayer(device, { shape: plain, length: 600, positions, sparse: usual });
        await checkBlocks(test, blocksFor(test, usual));
      });
    }

    checks.check("any list of blocks, a single one among them", async (device) => {
      const positions = [0, 63, 64, 130, 299];
      const test = fillLayer(device, { shape: plain, length: 300, positions, sparse: usual });
      const lists = [[0, -1, -1], [0, -1, -1], [1, -1, -1], [0, 2, -1], [1, 3, 4]];
      await checkBlocks(test, Int32Array.from([...lists, ...lists].flat()));
    });

    checks.check("equals dense attention while all blocks fit the budget", async (device) => {
      const config = { ...usual, topk: 5 };
      const length = (config.topk + config.windowSize / config.blockSize) * config.blockSize;
      const test = fillLayer(device, { shape: plain, length, positions: interestingPositions(length), sparse: config });
      const dense = await checkDense(test);
      const blocks = blocksFor(test, config);
      // Each is near float64; of each other they are within the order of summation and a rounding either way.
      const largest = dense.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const roundings = 2 * dtypeInfo(device.activation).epsilon * largest;
      expectClose("sparse and dense", await checkBlocks(test, blocks), dense, Math.max(1e-5, roundings));
    });
  });
}
