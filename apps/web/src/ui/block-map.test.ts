import { expect, it } from "vitest";
import { isRead } from "./block-map.ts";
import type { MapContent } from "./block-map.ts";

const content: MapContent = { rows: 4, kvHeads: 2, blocks: 3, blockSize: 64, read: 0, seen: undefined, marked: [], cursor: undefined };
const layers = [
  [[0, 2], [0]],
  [[1, 2], []],
];

it("finds a row's layer and KV head", () => {
  const seen = { length: 180, selection: { position: 179, blockSize: 64, layers } };
  const rows = [0, 1, 2, 3].map((row) => [0, 1, 2].map((block) => isRead({ ...content, seen }, block, row)));
  expect(rows).toEqual([
    [true, false, true],
    [true, false, false],
    [false, true, true],
    [false, false, false],
  ]);
});

it("knows nothing while the prompt is read, and all up to the query when that is dense", () => {
  expect(isRead(content, 0, 0)).toBeUndefined();
  const dense = { ...content, seen: { length: 128, selection: undefined } };
  expect([0, 1, 2].map((block) => isRead(dense, block, 3))).toEqual([true, true, false]);
});
