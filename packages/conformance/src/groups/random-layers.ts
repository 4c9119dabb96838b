/** Random head shapes, configs and lengths through dense and sparse attention. */
import { random } from "@infllm/tensor";
import { checkBlocks, checkDense } from "../attention-case.ts";
import type { Checks } from "../checks.ts";
import { blocksFor, fillLayer } from "../filled-layer.ts";
import { fewPositions } from "../layer-inputs.ts";
import { randomLayer } from "../random-layer.ts";

export function randomLayerCases(checks: Checks, count: number): void {
  checks.group("random layers", () => {
    for (let seed = 0; seed < count; seed++) {
      const numbers = random(2000 + seed);
      const { shape, config, length } = randomLayer(numbers, checks.backend.capabilities);
      const lse = `${config.lse} LSE, topk ${config.topk}, blocks of ${config.blockSize}`;
      checks.check(`${seed}: ${shape.heads}/${shape.kvHeads} heads of ${shape.headDim}, length ${length}, ${lse}`, async (device) => {
        const more = Array.from({ length: 3 }, () => numbers.below(length));
        const test = fillLayer(device, { shape, length, positions: fewPositions(length, more), seed, sparse: config });
        await checkBlocks(test, blocksFor(test, config));
        await checkDense(test);
      });
    }
  });
}
