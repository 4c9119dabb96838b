import { ShapeError, random } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { attendBlocksReference, tokensOfBlocks } from "./attend-blocks.ts";
import { attendDenseReference } from "./attend-dense.ts";

const shape = { heads: 4, kvHeads: 2, headDim: 4 };
const { normals } = random(2);
const length = 20;
const input = { q: normals(3 * 16), k: normals(length * 8), v: normals(length * 8), ...shape };

describe("attendBlocksReference", () => {
  test("over all blocks it is dense attention", () => {
    const row = [0, 1, 2, 3, 4];
    const blockIndices = Int32Array.from(Array.from({ length: 6 }, () => row).flat());
    expect(attendBlocksReference({ ...input, blockSize: 4, blockIndices })).toEqual(attendDenseReference(input));
  });

  test("each KV head and row reads its own blocks", () => {
    const lists = [[0, 4], [1, 4], [2, 4], [0, 1], [0, 2], [0, 3]];
    const out = attendBlocksReference({ ...input, blockSize: 4, blockIndices: Int32Array.from(lists.flat()) });
    for (let row = 0; row < 3; row++) {
      for (let head = 0; head < 4; head++) {
        const blocks = lists[Math.floor(head / 2) * 3 + row] ?? [];
        const alone = attendBlocksReference({
          ...input, blockSize: 4, q: input.q.subarray(row * 16, (row + 1) * 16), positions: [17 + row],
          blockIndices: Int32Array.from([...blocks, ...blocks]),
        });
        const from = head * 4;
        expect(out.subarray(row * 16 + from, row * 16 + from + 4)).toEqual(alone.subarray(from, from + 4));
      }
    }
  });

  test("refuses indices that do not divide", () => {
    expect(() => attendBlocksReference({ ...input, blockSize: 4, blockIndices: new Int32Array(7) })).toThrow(ShapeError);
  });
});

test("tokensOfBlocks ends at the position and at the padding", () => {
  expect(Array.from(tokensOfBlocks(Int32Array.from([0, 2, -1]), 4, 9))).toEqual([0, 1, 2, 3, 8, 9]);
  expect(Array.from(tokensOfBlocks(Int32Array.from([-1, -1]), 4, 9))).toEqual([]);
});
