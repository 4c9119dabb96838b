/** Scoring, pooling, forcing and selection. */
import { random } from "@infllm/tensor";
import type { SparseConfig } from "@infllm/block-selection";
import type { Checks } from "../checks.ts";
import { CacheRig, concatenate } from "../cache-rig.ts";
import { mustBe } from "../compare.ts";
import { headShapes, plainShape, shapeName, testConfigs } from "../configs.ts";
import type { HeadShape } from "../configs.ts";
import type { Device } from "../device.ts";
import { interestingPositions, layerInputs, rowRange } from "../layer-inputs.ts";
import { randomLayer } from "../random-layer.ts";
import { checkSelection, queryPositions } from "../selection-case.ts";

/** Selection for interesting rows of one sequence. */
async function checkLength(device: Device, shape: HeadShape, sparse: SparseConfig, length: number): Promise<void> {
  const rig = CacheRig.create(device, { ...shape, contextLength: length, sparse });
  const { q, k, v } = layerInputs(length, length, shape);
  rig.append([{ sequence: 0, k, v }]);
  const rows = queryPositions(rig, interestingPositions(length));
  const width = shape.heads * shape.headDim;
  const picked = device.asActivations(concatenate(rows.map(({ position }) => rowRange(q, width, position, 1))));
  await checkSelection({ ...shape, rig, config: sparse, q: picked, rows, scale: 1 / Math.sqrt(shape.headDim) });
  device.releaseAll();
}

/** Every query over keys that repeat each block, or with queries of zeros: windows with the same score on purpose. */
async function checkTies(device: Device, shape: HeadShape, config: SparseConfig, kind: "queries of zeros" | "keys that repeat"): Promise<void> {
  const length = 12 * config.blockSize;
  const rig = CacheRig.create(device, { ...shape, contextLength: length, sparse: config });
  const { q, k, v } = layerInputs(2, length, shape);
  const width = shape.kvHeads * shape.headDim;
  const period = config.blockSize * width;
  const keys = kind === "keys that repeat" ? k.map((_, i) => mustBe(k[i % period])) : k;
  rig.append([{ sequence: 0, k: keys, v }]);
  const rows = queryPositions(rig, interestingPositions(length, [length >> 1, length - config.blockSize]));
  const queries = concatenate(rows.map(({ position }) => rowRange(q, shape.heads * shape.headDim, position, 1)));
  const picked = device.asActivations(kind === "queries of zeros" ? queries.fill(0) : queries);
  await checkSelection({ ...shape, rig, config, q: picked, rows, scale: 1 / Math.sqrt(shape.headDim) }, true);
  device.releaseAll();
}

export function selectCases(checks: Checks, randomCases: number): void {
  const { capabilities } = checks.backend;
  const plain = plainShape(capabilities);
  const usual = mustBe(testConfigs["blocks of 64"]);
  checks.group("selectBlocks", () => {
    for (const [name, sparse] of Object.entries(testConfigs)) {
      checks.check(name, async (device) => {
        for (const length of [1, 33, 64, 65, 200, 777]) await checkLength(device, plain, sparse, length);
      });
    }
    for (const shape of headShapes(capabilities)) {
      checks.check(shapeName(shape), async (device) => {
        for (const lse of ["exact", "approx"] as const) await checkLength(device, shape, { ...usual, lse }, 500);
      });
    }
    for (const dtype of capabilities.kvCache) {
      checks.check(`a ${dtype} cache`, async (device) => {
        const rig = CacheRig.create(device, { ...plain, contextLength: 600, sparse: usual, dtype });
        const { q, k, v } = layerInputs(8, 600, plain);
        rig.append([{ sequence: 0, k, v }]);
        const width = plain.heads * plain.headDim;
        const rows = queryPositions(rig, [500, 501, 502, 503, 504, 599]);
        const picked = device.asActivations(concatenate(rows.map(({ position }) => rowRange(q, width, position, 1))));
        await checkSelection({ ...plain, rig, config: usual, q: picked, rows, scale: 0.2 });
      });
    }
    for (const kind of ["queries of zeros", "keys that repeat"] as const) {
      checks.check(`ties go to the lower block: ${kind}`, async (device) => {
        for (const lse of ["exact", "approx"] as const) await checkTies(device, plain, { ...usual, lse }, kind);
      });
    }

    // With the approximate LSE a fine key may exceed all coarse ones by so much that its score exceeds f32.
    for (const lse of ["exact", "approx"] as const) {
      checks.check(`large logits do not become NaN, nor oust forced blocks: ${lse} LSE`, async (device) => {
        const config = { ...usual, lse };
        const rig = CacheRig.create(device, { ...plain, contextLength: 600, sparse: config });
        const { q, k, v } = layerInputs(3, 600, plain);
        rig.append([{ sequence: 0, k: k.map((value) => value * 8), v }]);
        const rows = queryPositions(rig, [130, 300, 599]);
        const width = plain.heads * plain.headDim;
        const picked = device.asActivations(concatenate(rows.map(({ position }) => rowRange(q, width, position, 1))).map((value) => value * 8));
        await checkSelection({ ...plain, rig, config, q: picked, rows, scale: 1 / Math.sqrt(plain.headDim) });
      });
    }

    checks.check("a batch of sequences of different lengths and query counts", async (device) => {
      const lengths = [1, 65, 300, 128, 500];
      const rig = CacheRig.create(device, { ...plain, contextLength: 500, sequences: lengths.length, rows: 1000, sparse: usual });
      const inputs = lengths.map((length, i) => layerInputs(20 + i, length, plain));
      rig.append(inputs.map(({ k, v }, sequence) => ({ sequence, k, v })));
      const entries = [
        { sequence: 4, from: 490, count: 10 }, { sequence: 0, from: 0, count: 1 }, { sequence: 2, from: 0, count: 300 },
        { sequence: 1, from: 64, count: 1 }, { sequence: 3, from: 60, count: 7 },
      ];
      rig.query(entries);
      const width = plain.heads * plain.headDim;
      const q = device.asActivations(concatenate(entries.map(({ sequence, from, count }) => rowRange(mustBe(inputs[sequence]).q, width, from, count))));
      const rows = entries.flatMap(({ sequence, from, count }) => Array.from({ length: count }, (_, i) => ({ sequence, position: from + i })));
      await checkSelection({ ...plain, rig, config: usual, q, rows, scale: 1 / Math.sqrt(plain.headDim) });
    });

    checks.check(`${randomCases} random configurations`, async (device) => {
      for (let seed = 0; seed < randomCases; seed++) {
        const { shape, config, length } = randomLayer(random(1000 + seed), capabilities);
        await checkLength(device, shape, config, length);
      }
    });
  });
}
