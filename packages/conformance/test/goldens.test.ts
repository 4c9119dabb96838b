/** The readable reference against the golden files: the oracle's answers, and the original CUDA kernels' own. */
import { attendBlocksReference } from "@infllm/attention";
import { selectForQueries, sparseConfigFromHf } from "@infllm/block-selection";
import { dtypeInfo } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { expectRowsClose, expectSame, expectScores, goldenCases, loadGolden, makeInputs } from "../src/index.ts";
import type { CaseInputs, Golden, GoldenCase } from "../src/index.ts";

interface Loaded extends CaseInputs {
  readonly test: GoldenCase;
  readonly golden: Golden;
  readonly shape: { readonly heads: number; readonly kvHeads: number; readonly headDim: number };
  readonly positions: readonly number[];
}

/** A case with the sampled rows of q only. */
async function load(each: GoldenCase): Promise<Loaded> {
  const golden = await loadGolden(each.name);
  const { q, k, v } = makeInputs(each);
  const shape = { heads: each.heads, kvHeads: each.kv_heads, headDim: each.head_dim };
  const width = shape.heads * shape.headDim;
  const picked = new Float32Array(golden.rows.length * width);
  golden.rows.forEach((row, i) => picked.set(q.subarray(row * width, (row + 1) * width), i * width));
  const positions = golden.rows.map((row) => row + each.kv_length - each.q_length);
  return { test: each, golden, shape, positions, q: picked, k, v };
}

const cases = await goldenCases();

describe.each(cases.map((each) => [each.name, each] as const))("%s", (_, each) => {
  test("selection is the oracle's, exactly, with both LSEs", async () => {
    const { golden, shape, positions, q, k } = await load(each);
    for (const lse of ["approx", "exact"] as const) {
      const config = sparseConfigFromHf({ ...each.config, lse });
      const selection = selectForQueries({ q, k, ...shape, config, positions });
      expectSame(`${lse}: blocks`, selection.blockIndices, golden.answers[lse].indices);
      expectScores(`${lse}: scores`, selection.blockScores, golden.answers[lse].scores, 2 * dtypeInfo("f32").epsilon);
    }
  });
});

describe.each(cases.filter(({ head_dim: dim, kv_length: length }) => dim === 128 && length < 4000).map((each) => [each.name, each] as const))(
  "the original kernels' output of %s",
  (_, each) => {
    test("is attention over their own selection, to bf16", async () => {
      const { golden, shape, positions, q, k, v } = await load(each);
      const peer = golden.peer;
      if (peer === undefined) throw new Error("The file holds no peer_out.");
      const blockSize = Number(each.config["block_size"]);
      const out = attendBlocksReference({ q, k, v, ...shape, positions, blockSize, blockIndices: peer.indices });
      // Inputs are exact in bf16; the kernels round the softmax weights and the output once each.
      expectRowsClose("out", peer.out, out, shape.headDim, 2 * dtypeInfo("bf16").epsilon);
    });

    test("selects nearly the same blocks: bf16 scores tie where float64 ones do not", async () => {
      const { golden } = await load(each);
      const own = golden.answers[each.config["lse"] === "exact" ? "exact" : "approx"].indices;
      const peer = golden.peer?.indices ?? new Int32Array(0);
      const budget = own.length / (each.kv_heads * golden.rows.length);
      let shared = 0;
      let total = 0;
      for (let from = 0; from < own.length; from += budget) {
        const theirs = new Set(peer.subarray(from, from + budget));
        for (const block of own.subarray(from, from + budget)) {
          if (block < 0) continue;
          total++;
          if (theirs.has(block)) shared++;
        }
      }
      expect(shared / total).toBeGreaterThan(0.99);
    });
  },
);
