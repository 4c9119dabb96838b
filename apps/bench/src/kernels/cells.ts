/** The cells of `infllm-bench kernels`: ceilings, products, and attention ops by phase, length, blocks and LSE. */
import { blockBudget, sparseConfig, type LseMode, type SparseConfig } from "@infllm/block-selection";
import type { ModelBackend } from "@infllm/command";
import { measureAsync, type Sample } from "../measure.ts";
import type { Cell, CellContext } from "../results/run-cells.ts";
import type { Figures } from "../results/record.ts";
import type { ModelShape } from "../shapes.ts";
import { attentionLayer, type LayerSize } from "./attention-layer.ts";
import { timeCopy, timeProduct } from "./products.ts";
import { verifyAttention } from "./verify.ts";

export interface KernelOptions {
  readonly shape: ModelShape;
  readonly lengths: readonly number[];
  /** Blocks that a query sees in all, forced ones included; the shape's own budget when absent. */
  readonly blocks?: readonly number[] | undefined;
  readonly lse: readonly LseMode[];
  /** Query rows of a prefill step. */
  readonly rows: number;
  readonly rounds: number;
  /** Rows, columns and outputs of the product that shows what the machine can compute. */
  readonly product: number;
  /** Bytes of the table whose copy shows how fast memory is. */
  readonly copyBytes: number;
}

type Phase = "prefill" | "decode";

/** Decoding takes microseconds on small models: this many steps make one timing. */
const decodeRepeat = 20;

export function kernelCells(options: KernelOptions, backend: ModelBackend): Cell[] {
  const { shape, lengths, lse, rounds } = options;
  const config: Figures = { shape: shape.name, rounds, rows: options.rows };
  const verified = new Map<string, Promise<void>>();
  const verifyOnce = (sparse: SparseConfig): Promise<void> => {
    const key = JSON.stringify(sparse);
    const check = verified.get(key) ?? verifyAttention(backend, shape, sparse);
    verified.set(key, check);
    return check;
  };
  const budgets = options.blocks ?? [blockBudget(shape.sparse)];
  const attention = (["prefill", "decode"] as const).flatMap((phase) =>
    lengths.flatMap((length) =>
      budgets.flatMap((blocks) =>
        lse.map((mode): Cell => {
          const sparse = withBudget(shape.sparse, blocks, mode);
          const rows = phase === "prefill" ? Math.min(options.rows, length) : 1;
          return {
            cell: { op: "attention", phase, length, blocks, lse: mode },
            config,
            run: async (context) => {
              await verifyOnce(sparse);
              return timeAttention(backend, { ...shape, length, rows }, sparse, phase, rounds, context);
            },
          };
        }),
      ),
    ),
  );
  return [...ceilingCells(options, config, backend), ...attention];
}

function ceilingCells({ product, copyBytes, rounds, shape }: KernelOptions, config: Figures, backend: ModelBackend): Cell[] {
  const square = { rows: product, columns: product, outputs: product };
  const decode = { rows: 1, columns: shape.hidden, outputs: shape.intermediate };
  const linear = (what: string, size: typeof square, dtype: "f32" | "f16" | "q8_0"): Cell => ({
    cell: { op: what, rows: size.rows, columns: size.columns, outputs: size.outputs, dtype },
    config,
    run: async () => {
      const seconds = await timeProduct(backend, { ...size, dtype }, rounds);
      const { rows, columns, outputs } = size;
      return { seconds: sampleFigures(seconds), flopPerSecond: (2 * rows * columns * outputs) / seconds.median };
    },
  });
  return [
    {
      cell: { op: "copy", bytes: copyBytes },
      config,
      run: async () => {
        const { bytes, ...seconds } = await timeCopy(backend, copyBytes, rounds);
        return { seconds: sampleFigures(seconds), bytesPerSecond: bytes / seconds.median };
      },
    },
    linear("product", square, "f32"),
    linear("product", square, "q8_0"),
    linear("decode product", decode, "f16"),
    linear("decode product", decode, "q8_0"),
  ];
}

/** The shape's config with as many blocks in all: the window gives way only where it would not fit. */
function withBudget(sparse: SparseConfig, blocks: number, lse: LseMode): SparseConfig {
  const { blockSize, initBlocks } = sparse;
  const local = Math.min(sparse.windowSize / blockSize, Math.max(0, blocks - initBlocks - 2));
  return sparseConfig({ ...sparse, windowSize: local * blockSize, topk: blocks - local, lse });
}

async function timeAttention(
  backend: ModelBackend,
  size: LayerSize,
  sparse: SparseConfig,
  phase: Phase,
  rounds: number,
  { signal, progress }: CellContext,
): Promise<Figures> {
  const layer = attentionLayer(backend, size, sparse);
  try {
    const { dense, select, selectStored, sparse: attend, compress } = layer;
    const onRound = (round: number): Promise<void> => {
      progress("rounds", round, rounds, "rows");
      signal.throwIfAborted();
      return new Promise((resolve) => setImmediate(resolve));
    };
    const plan = { rounds, repeat: phase === "decode" ? decodeRepeat : 1 };
    const times = await measureAsync({ dense, select, selectStored, attend }, () => backend.sync(), plan, onRound);
    const { compress: compressing } = await measureAsync({ compress }, () => backend.sync(), { rounds }, onRound);
    const work = (keys: number): number => 4 * size.rows * size.heads * size.headDim * keys;
    const seen = Math.min(size.length, blockBudget(sparse) * sparse.blockSize);
    return {
      rows: size.rows,
      dense: sampleFigures(times.dense),
      select: sampleFigures(times.select),
      selectStored: sampleFigures(times.selectStored),
      attend: sampleFigures(times.attend),
      compressChunk: sampleFigures(compressing),
      speedup: times.dense.median / (times.select.median + times.attend.median),
      denseFlopPerSecond: work(size.length) / times.dense.median,
      attendFlopPerSecond: work(seen) / times.attend.median,
    };
  } finally {
    layer.release();
  }
}

function sampleFigures({ median, low, high }: Sample): Figures {
  return { median, low, high };
}
