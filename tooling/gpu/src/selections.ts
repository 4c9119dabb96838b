/** Selections of a model seen on their way, and put in the place of another model's: what overlap costs and saves. */
import { readFile } from "node:fs/promises";
import type { CudaBackend } from "@infllm/backend-cuda";
import type { SparseConfig } from "@infllm/block-selection";
import { loadModel } from "@infllm/model";
import type { DeviceTensor } from "@infllm/tensor";

/** i32 `[kvHeads, rows, budget]` of one layer and chunk, padded with -1. */
export interface Selection {
  readonly kvHeads: number;
  readonly rows: number;
  readonly budget: number;
  readonly blocks: Int32Array;
}

export interface Overlap {
  readonly meanVisibleBlocks: number;
  /** Mean blocks that so many neighbouring tokens choose together. */
  readonly meanUnion: Readonly<Record<string, number>>;
}

const TILES = [4, 8] as const;

/** A backend whose selections of many rows can be looked at, and replaced before attention reads them. */
export class TappedBackend {
  readonly backend: CudaBackend;
  /** Called after each selection of many rows, which may be copied then. */
  onSelect: ((indices: DeviceTensor, rows: number) => void) | undefined;
  /** What attention reads instead. */
  replacement: ((rows: number) => DeviceTensor | undefined) | undefined;
  /** The same for single rows; a recorded step keeps what it was given. */
  rowReplacement: (() => DeviceTensor | undefined) | undefined;

  constructor(plain: CudaBackend) {
    const many = (rows: number): boolean => rows >= Math.max(...TILES);
    this.backend = {
      ...plain,
      selection: {
        ...plain.selection,
        selectBlocks: (args) => {
          plain.selection.selectBlocks(args);
          if (many(args.batch.rows)) this.onSelect?.(args.blockIndices, args.batch.rows);
        },
      },
      attention: {
        ...plain.attention,
        attendBlocks: (args) => {
          const { rows } = args.batch;
          const blockIndices = (many(rows) ? this.replacement?.(rows) : rows === 1 ? this.rowReplacement?.() : undefined) ?? args.blockIndices;
          plain.attention.attendBlocks({ ...args, blockIndices });
        },
      },
    };
  }
}

/**
 * The embedded model's selections over a novel of `tokens` tokens (from its start again where it ends), with the numbers of
 * blocks of `sparse`: one list a chunk of the prompt, of its first layers.
 */
export async function embeddedSelections(plain: CudaBackend, tokens: number, sparse: SparseConfig, layers: number): Promise<Selection[][]> {
  const text = await readFile(new URL("../text/moby-dick.txt", import.meta.url), "utf8");
  const tap = new TappedBackend(plain);
  const reads: Promise<Selection>[] = [];
  tap.onSelect = (indices, rows) => reads.push(readSelection(plain, indices, rows));
  const model = await loadModel("embedded", { backend: tap.backend, contextLength: tokens + 8, sparse });
  const novel = model.tokenizer.encode(text);
  const ids = Array.from({ length: tokens }, (_, i) => novel[i % novel.length] ?? 0);
  for await (const piece of model.generate(ids, { attention: "sparse", temperature: 0, maxTokens: 1 })) void piece;
  const all = await Promise.all(reads);
  // The last layer selects in the last chunk only: nothing else reads what it makes of a prompt.
  const each = model.config.layers - 1;
  await model.close();
  return Array.from({ length: Math.floor(all.length / each) }, (_, chunk) => all.slice(chunk * each, chunk * each + layers));
}

export async function readSelection(backend: CudaBackend, indices: DeviceTensor, rows: number): Promise<Selection> {
  const [kvHeads = 0, capacity = 0, budget = 0] = indices.shape;
  const all = (await backend.read(indices)) as Int32Array;
  const blocks = new Int32Array(kvHeads * rows * budget);
  for (let head = 0; head < kvHeads; head++) {
    blocks.set(all.subarray(head * capacity * budget, (head * capacity + rows) * budget), head * rows * budget);
  }
  return { kvHeads, rows, budget, blocks };
}

/** What the last row of a chunk selected. */
export function lastRow({ kvHeads, rows, budget, blocks }: Selection): Selection {
  const own = new Int32Array(kvHeads * budget);
  for (let head = 0; head < kvHeads; head++) own.set(blocks.subarray((head * rows + rows - 1) * budget, (head + 1) * rows * budget), head * budget);
  return { kvHeads, rows: 1, budget, blocks: own };
}

/** A tensor for a model with as many KV heads as there are selections of one head. */
export function asTensor(backend: CudaBackend, heads: readonly Selection[]): DeviceTensor {
  const [{ rows, budget } = { rows: 0, budget: 0 }] = heads;
  const tensor = backend.allocate("i32", [heads.length, rows, budget]);
  const values = new Int32Array(heads.length * rows * budget);
  heads.forEach(({ blocks }, head) => values.set(blocks, head * rows * budget));
  backend.write(tensor, values);
  return tensor;
}

export function overlap(selections: readonly Selection[]): Overlap {
  let [visible, rowsSeen] = [0, 0];
  const totals = TILES.map((tile) => ({ tile, blocks: 0, tiles: 0 }));
  for (const { kvHeads, rows, budget, blocks } of selections) {
    for (let head = 0; head < kvHeads; head++) {
      const row = (i: number): Int32Array => blocks.subarray((head * rows + i) * budget, (head * rows + i + 1) * budget);
      for (let i = 0; i < rows; i++) visible += row(i).filter((block) => block >= 0).length;
      rowsSeen += rows;
      for (const total of totals) {
        for (let i = 0; i + total.tile <= rows; i += total.tile) {
          const seen = new Set<number>();
          for (let n = 0; n < total.tile; n++) for (const block of row(i + n)) if (block >= 0) seen.add(block);
          total.blocks += seen.size;
          total.tiles++;
        }
      }
    }
  }
  return { meanVisibleBlocks: visible / rowsSeen, meanUnion: Object.fromEntries(totals.map(({ tile, blocks, tiles }) => [tile, blocks / tiles])) };
}
