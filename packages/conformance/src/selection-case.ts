/** Runs selection on a backend over a filled cache and holds it against the float64 reference. */
import { blockBudget, blockCount, selectForRow } from "@infllm/block-selection";
import type { CompressedKeys, SparseConfig } from "@infllm/block-selection";
import type { CacheRig } from "./cache-rig.ts";
import { expectScores, expectSelection, mustBe } from "./compare.ts";
import type { HeadShape } from "./configs.ts";
import { GuardedPerHead } from "./guards.ts";
import { largestLogit } from "./layer-inputs.ts";
import { scoreTolerance } from "./tolerance.ts";

/** One query row of the rig's batch. */
export interface BatchRow {
  readonly sequence: number;
  readonly position: number;
}

export interface SelectionCase extends HeadShape {
  readonly rig: CacheRig;
  readonly config: SparseConfig;
  /** f32 `[rows, heads, headDim]` as the device sees them, in the order of `rows` */
  readonly q: Float32Array;
  readonly rows: readonly BatchRow[];
  readonly scale: number;
}

/**
 * Runs `selectBlocks` on the rig's current batch and checks indices and scores against float64 maths on the
 * backend's own compressed keys, so that only the arithmetic of scoring can differ.
 * @param strict demands the reference's exact choice, for ties made on purpose
 * @returns i32 `[kvHeads, rows, budget]` as selected
 */
export async function checkSelection(test: SelectionCase, strict = false): Promise<Int32Array> {
  const { rig, config, q, rows, scale, heads, kvHeads, headDim } = test;
  const { device } = rig;
  const budget = blockBudget(config);
  const blocks = blockCount(rig.cache.contextLength, config.blockSize);
  const indices = new GuardedPerHead(device, "i32", kvHeads, rows.length, budget);
  const scores = new GuardedPerHead(device, "f32", kvHeads, rows.length, blocks);
  const args = { q: device.input(q, heads * headDim), cache: rig.layer, batch: rig.batch, scale };
  device.selection.selectBlocks({ ...args, blockIndices: indices.tensor, blockScores: scores.tensor });
  const chosen = Int32Array.from(await indices.read());
  const scored = await scores.read();

  const lengths = rig.sequences.map((sequence) => sequence.length);
  const keys = await compressedBySequence(test, lengths);
  for (const [r, { sequence, position }] of rows.entries()) {
    const row = { q: q.subarray(r * heads * headDim, (r + 1) * heads * headDim), heads, kvHeads, headDim, position, scale };
    const { fine } = mustBe(keys.get(sequence));
    const tolerance = scoreTolerance(largestLogit(row.q, fine, headDim, scale));
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const what = `row ${r} (position ${position} of ${lengths[sequence]}), KV head ${kvHead}`;
      const expected = selectForRow({ ...row, kvHead }, mustBe(keys.get(sequence)), mustBe(lengths[sequence]), config);
      const at = (kvHead * rows.length + r) * blocks;
      const padded = new Float64Array(blocks).fill(-Infinity);
      padded.set(expected.scores);
      expectScores(what, scored.subarray(at, at + blocks), padded, tolerance);
      const actual = chosen.subarray((kvHead * rows.length + r) * budget, (kvHead * rows.length + r + 1) * budget);
      expectSelection(what, { actual, expected: expected.indices, scores: expected.scores, position, config, tolerance: strict ? "strict" : tolerance });
    }
  }

  const alone = new GuardedPerHead(device, "i32", kvHeads, rows.length, budget);
  device.selection.selectBlocks({ ...args, blockIndices: alone.tensor });
  const withoutScores = await alone.read();
  if (withoutScores.some((block, i) => block !== chosen[i])) throw new Error("The selection differs when no scores are asked for.");
  return chosen;
}

/** The compressed keys of every sequence that has rows; `readCache` addresses sequences by their place in the batch. */
async function compressedBySequence({ rig, rows }: SelectionCase, lengths: readonly number[]): Promise<Map<number, CompressedKeys>> {
  const found = new Map<number, CompressedKeys>();
  let place = -1;
  let previous: BatchRow | undefined;
  for (const row of rows) {
    const continues = previous?.sequence === row.sequence && previous.position + 1 === row.position;
    if (!continues) place++;
    previous = row;
    if (!found.has(row.sequence)) found.set(row.sequence, await rig.compressed(place, mustBe(lengths[row.sequence])));
  }
  return found;
}

/** Sets the batch to single rows at these positions of sequence 0, runs of consecutive ones as one sequence. */
export function queryPositions(rig: CacheRig, positions: readonly number[], sequence = 0): BatchRow[] {
  const runs: { sequence: number; from: number; count: number }[] = [];
  for (const position of positions) {
    const last = runs.at(-1);
    if (last !== undefined && last.from + last.count === position) last.count++;
    else runs.push({ sequence, from: position, count: 1 });
  }
  rig.query(runs);
  return positions.map((position) => ({ sequence, position }));
}
