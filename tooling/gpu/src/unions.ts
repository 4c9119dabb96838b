/** How much selections of neighbouring tokens overlap in the embedded model: mean sizes of their unions over a novel. */
import { readFile } from "node:fs/promises";
import { cudaBackend } from "@infllm/backend-cuda";
import type { CudaBackend } from "@infllm/backend-cuda";
import type { SelectBlocksArgs } from "@infllm/block-selection";
import { loadModel } from "@infllm/model";
import type { DeviceTensor } from "@infllm/tensor";

const LENGTH = 16384;
const TILES = [4, 8] as const;

export async function unions(): Promise<{ report: unknown; ok: boolean }> {
  const text = await readFile(new URL("../text/moby-dick.txt", import.meta.url), "utf8");
  const backend = await cudaBackend();
  const selections: { indices: DeviceTensor; rows: number }[] = [];
  const model = await loadModel("embedded", { backend: watched(backend, (selection) => selections.push(selection)), contextLength: LENGTH + 64 });
  const tokens = model.tokenizer.encode(text).slice(0, LENGTH);
  const session = model.createSession();
  for await (const _ of session.generate(tokens, { attention: "sparse", temperature: 0, maxTokens: 1 })) continue;
  const totals: Total[] = TILES.map((tile) => ({ tile, blocks: 0, tiles: 0 }));
  let [visible, rowsSeen] = [0, 0];
  for (const { indices, rows } of selections) {
    const [kvHeads = 0, capacity = 0, budget = 0] = indices.shape;
    const values = (await backend.read(indices)) as Int32Array;
    for (let head = 0; head < kvHeads; head++) {
      const row = (i: number): Int32Array => values.subarray((head * capacity + i) * budget, (head * capacity + i + 1) * budget);
      for (let i = 0; i < rows; i++) visible += row(i).filter((block) => block >= 0).length;
      rowsSeen += rows;
      for (const total of totals) addTiles(total, rows, row);
    }
    indices.release();
  }
  await model.close();
  await backend.close();
  const mean = Object.fromEntries(totals.map(({ tile, blocks, tiles }) => [tile, blocks / tiles]));
  const report = { model: "embedded", tokens: tokens.length, meanVisibleBlocks: visible / rowsSeen, meanUnion: mean };
  console.log(JSON.stringify(report));
  return { report, ok: selections.length > 0 };
}

interface Total {
  readonly tile: number;
  blocks: number;
  tiles: number;
}

/** Adds the sizes of the unions of `tile` rows each; `row(i)` are the blocks chosen for row i, padded with -1. */
function addTiles(total: Total, rows: number, row: (i: number) => Int32Array): void {
  for (let i = 0; i + total.tile <= rows; i += total.tile) {
    const seen = new Set<number>();
    for (let n = 0; n < total.tile; n++) for (const block of row(i + n)) if (block >= 0) seen.add(block);
    total.blocks += seen.size;
    total.tiles++;
  }
}

/** The same backend, which also hands out a copy of every selection of many rows. */
function watched(backend: CudaBackend, see: (selection: { indices: DeviceTensor; rows: number }) => void): CudaBackend {
  const selectBlocks = (args: SelectBlocksArgs): void => {
    backend.selection.selectBlocks(args);
    const [kvHeads = 0, , budget = 0] = args.blockIndices.shape;
    const { rows } = args.batch;
    if (rows < Math.max(...TILES)) return;
    const indices = backend.allocate("i32", [kvHeads, rows, budget]);
    const { blockScores: _, ...rest } = args;
    backend.selection.selectBlocks({ ...rest, blockIndices: indices });
    see({ indices, rows });
  };
  return { ...backend, selection: { ...backend.selection, selectBlocks } };
}
