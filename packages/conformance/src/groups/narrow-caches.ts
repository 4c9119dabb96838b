/** Caches of 8-bit keys and values: what they hold, and both ways to read them, a prompt of many rows and single ones. */
import type { CacheDType } from "@infllm/tensor";
import { random } from "@infllm/tensor";
import { checkBlocks, checkDense } from "../attention-case.ts";
import { CacheRig } from "../cache-rig.ts";
import type { Checks } from "../checks.ts";
import { expectSame, mustBe } from "../compare.ts";
import { headShapes, plainShape, shapeName, testConfigs } from "../configs.ts";
import { blocksFor, fillLayer } from "../filled-layer.ts";
import { interestingPositions } from "../layer-inputs.ts";
import { checkSelection } from "../selection-case.ts";

/** Whole pages, twice over: rows of a tile may read the rest of the last one. */
const LENGTH = 384;

/** Types with fewer bits than any activation. */
export function narrowTypes(checks: Checks): CacheDType[] {
  return checks.backend.capabilities.kvCache.filter((dtype) => dtype === "q8");
}

/** What a cache of such a type holds. */
export function narrowStoreCases(checks: Checks): void {
  const types = narrowTypes(checks);
  if (types.length === 0) return; // not every backend has them, and a group must have cases
  const shape = plainShape(checks.backend.capabilities);
  const width = shape.kvHeads * shape.headDim;
  checks.group("narrow caches, stored", () => {
    for (const dtype of types) {
      checks.check(`${dtype}: rows of every size, of zeros, with infinity and with NaN`, async (device) => {
        const tokens = 70;
        const rig = CacheRig.create(device, { ...shape, contextLength: tokens, dtype });
        const { normals } = random(77);
        const sized = (values: Float32Array): Float32Array => values.map((value, i) => value * 2 ** ((Math.floor(i / shape.headDim) % 24) - 12));
        const [k, v] = [sized(normals(tokens * width)), sized(normals(tokens * width))];
        k.set([NaN, 1, 2], shape.headDim);
        k.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -127], 4 * shape.headDim);
        k.fill(0, 6 * width, 7 * width);
        v.set([Infinity, -3, 5], 3 * width);
        v.set([-Infinity, NaN], 9 * width);
        v.fill(2 ** -24, 11 * width, 12 * width);
        rig.append([{ sequence: 0, k, v }]);
        rig.query([{ sequence: 0, from: 0, count: 1 }]);
        expectSame("keys", await rig.read("keys", 0, 0, tokens), rig.asCached(k));
        expectSame("values", await rig.read("values", 0, 0, tokens), rig.asCached(v));
      });
    }
  });
}

/** Selection and attention over such a cache. */
export function narrowAttendCases(checks: Checks): void {
  const types = narrowTypes(checks);
  if (types.length === 0) return;
  const { capabilities } = checks.backend;
  const usual = mustBe(testConfigs["blocks of 64"]);
  const rowsOf: readonly (readonly [name: string, positions: readonly number[]])[] = [
    ["20 rows", Array.from({ length: 20 }, (_, i) => 240 + i)],
    ["one row", [LENGTH - 1]],
    ["nine rows", Array.from({ length: 9 }, (_, i) => LENGTH - 9 - i).reverse()],
  ];
  checks.group("narrow caches, read", () => {
    for (const dtype of types) {
      for (const shape of headShapes(capabilities)) {
        for (const [name, positions] of rowsOf) {
          checks.check(`${dtype}, ${shapeName(shape)}: ${name}`, async (device) => {
            const test = fillLayer(device, { shape, length: LENGTH, positions, sparse: usual, dtype });
            await checkDense(test);
            await checkBlocks(test, blocksFor(test, usual));
            await checkSelection({ ...test, config: usual });
          });
        }
      }
      for (const [name, sparse] of Object.entries(testConfigs)) {
        checks.check(`${dtype}: ${name}`, async (device) => {
          const length = 333;
          const test = fillLayer(device, { shape: plainShape(capabilities), length, positions: interestingPositions(length), sparse, dtype });
          await checkBlocks(test, blocksFor(test, sparse));
          await checkSelection({ ...test, config: sparse });
        });
      }
    }
  });
}
