/** The golden cases, end to end: compress, select, attend. */
import { attend, attendBlocksReference } from "@infllm/attention";
import type { AttentionBackend } from "@infllm/attention";
import { compressedDType, sparseConfigFromHf } from "@infllm/block-selection";
import type { LseMode } from "@infllm/block-selection";
import { dtypeInfo } from "@infllm/tensor";
import { makeInputs } from "../cases.ts";
import type { GoldenCase } from "../cases.ts";
import type { Checks } from "../checks.ts";
import { expectRowsClose, expectScores, expectSelection, mustBe } from "../compare.ts";
import type { Golden } from "../goldens.ts";
import { rowRange } from "../layer-inputs.ts";

export interface LoadedGolden {
  readonly test: GoldenCase;
  readonly golden: Golden;
}

export function goldenGroup(checks: Checks, goldens: readonly LoadedGolden[]): void {
  const { headDim: dims } = checks.backend.capabilities;
  checks.group("goldens", () => {
    for (const { test, golden } of goldens) {
      const { head_dim: dim } = test;
      if (dim < dims.min || dim > dims.max || dim % dims.multipleOf !== 0) continue;
      for (const lse of ["approx", "exact"] as const) {
        // The other LSE changes the selection only, which the small cases check at less cost.
        if (lse !== test.config["lse"] && test.kv_length > 4000) continue;
        checks.check(`${test.name}, ${lse} LSE`, (device) => checkGolden(device.backend as AttentionBackend, test, golden, lse));
      }
    }
  });
}

/** In f32: scores and selections to 1e-5, outputs to 1e-4 of each head's length; coarser for coarser types. */
async function checkGolden(backend: AttentionBackend, test: GoldenCase, golden: Golden, lse: LseMode): Promise<void> {
  const { heads, kv_heads: kvHeads, head_dim: headDim } = test;
  const config = sparseConfigFromHf({ ...test.config, lse });
  const inputs = makeInputs(test);
  const shape = { heads, kvHeads, headDim };
  const result = await attend(backend, { ...inputs, ...shape, config, mode: "sparse", rows: golden.rows });
  const expected = golden.answers[lse];
  const { activation, kvCache } = backend.capabilities;
  const epsilon = Math.max(dtypeInfo(activation).epsilon, dtypeInfo(compressedDType(mustBe(kvCache[0]), activation)).epsilon);
  const coarseness = epsilon / dtypeInfo("f32").epsilon;
  const scoreTolerance = 1e-5 * coarseness;

  const rows = golden.rows.length;
  const blocks = expected.scores.length / (kvHeads * rows);
  const indices = mustBe(result.blockIndices);
  const budget = indices.length / (kvHeads * rows);
  expectScores("block scores", mustBe(result.blockScores), expected.scores, scoreTolerance);
  const positions = golden.rows.map((row) => row + test.kv_length - test.q_length);
  let exchanged = false;
  for (let i = 0; i < kvHeads * rows; i++) {
    const position = mustBe(positions[i % rows]);
    const actual = indices.subarray(i * budget, (i + 1) * budget);
    const wanted = expected.indices.subarray(i * budget, (i + 1) * budget);
    const scores = expected.scores.subarray(i * blocks, (i + 1) * blocks);
    expectSelection(`row ${golden.rows[i % rows]}`, { actual, expected: wanted, scores, position, config, tolerance: scoreTolerance });
    exchanged ||= actual.some((block, at) => block !== wanted[at]);
  }

  const out = exchanged ? outputFor(inputs, shape, golden.rows, positions, config.blockSize, indices) : expected.out;
  expectRowsClose("out", result.out, out, headDim, 1e-4 * coarseness);
}

/** Where the backend rightly exchanged blocks with the same score: attention over its own choice, in float64. */
function outputFor(
  { q, k, v }: ReturnType<typeof makeInputs>,
  shape: { readonly heads: number; readonly kvHeads: number; readonly headDim: number },
  rows: readonly number[],
  positions: readonly number[],
  blockSize: number,
  blockIndices: Int32Array,
): Float64Array {
  const width = shape.heads * shape.headDim;
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => picked.set(rowRange(q, width, row, 1), i * width));
  return attendBlocksReference({ ...shape, q: picked, k, v, positions, blockSize, blockIndices });
}
