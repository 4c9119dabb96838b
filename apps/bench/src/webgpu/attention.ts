/** Attention of a small layer against the plain reference, before anything is timed. */
import { attend } from "@infllm/attention";
import type { AttendInput, AttentionBackend } from "@infllm/attention";
import { referenceBackend } from "@infllm/backend-cpu";
import { sparseConfig } from "@infllm/block-selection";
import { random } from "@infllm/tensor";
import { mustAgree } from "../check.ts";

const [length, heads, kvHeads, headDim] = [1500, 16, 1, 64];
/** Some positions early, in the middle and at the end. */
const rows = [0, 63, 64, 700, 1023, 1499];
const config = sparseConfig({ windowSize: 128, topk: 4, initBlocks: 1, denseLen: 0 });
/** Of the largest number: what f16 activations allow. */
const TOLERANCE = 4e-3;

export async function mustAttendRight(backend: AttentionBackend): Promise<void> {
  const { normals } = random(11);
  const input: AttendInput = {
    q: normals(length * heads * headDim), k: normals(length * kvHeads * headDim), v: normals(length * kvHeads * headDim),
    heads, kvHeads, headDim, rows, config,
  };
  const plain = referenceBackend();
  for (const mode of ["dense", "sparse"] as const) {
    const [got, expected] = [await attend(backend, { ...input, mode }), await attend(plain, { ...input, mode })];
    const same = rows.filter((_, row) => sameBlocks(row, got.blockIndices, expected.blockIndices));
    // A score that is rounded may choose another block of two that are nearly equal; most rows choose the same.
    if (same.length < rows.length - 1) throw new Error(`Block selection is wrong for ${rows.length - same.length} of ${rows.length} rows; not timed.`);
    const values = (out: Float32Array) => same.flatMap((row) => Array.from(out.subarray(rows.indexOf(row) * heads * headDim, (rows.indexOf(row) + 1) * heads * headDim)));
    mustAgree(`${mode} attention`, values(got.out), values(expected.out), TOLERANCE);
  }
  await plain.close();
}

/** Do both choose the same for every KV head of a row? */
function sameBlocks(row: number, got: Int32Array | undefined, expected: Int32Array | undefined): boolean {
  if (got === undefined || expected === undefined) return got === expected;
  const budget = expected.length / (kvHeads * rows.length);
  return Array.from({ length: kvHeads * budget }, (_, i) => (Math.floor(i / budget) * rows.length + row) * budget + (i % budget))
    .every((at) => got[at] === expected[at]);
}
