/** Dense and block-sparse attention and selection, 16 query heads on 1 KV head of 64, over 8,192 keys, one thread. */
import { cpuBackend, referenceBackend } from "@infllm/backend-cpu";
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { mustAgree } from "../check.ts";
import { measure } from "../measure.ts";
import { rate } from "../report.ts";
import type { Result } from "../report.ts";
import { attentionLayer } from "../kernels/attention-layer.ts";
import type { AttentionLayer, LayerSize } from "../kernels/attention-layer.ts";

const size: LayerSize = { heads: 16, kvHeads: 1, headDim: 64, length: 8192, rows: 64 };
/** What the plain reference computes in a second or so. */
const checked: LayerSize = { ...size, length: 3000, rows: 4 };
/** The embedded model's: every query sees 24 blocks. */
const config = sparseConfig({ windowSize: 512, topk: 16, denseLen: 4096 });

export async function attentionResults(rounds: number): Promise<Result[]> {
  const backend = await cpuBackend({ threads: 1 });
  try {
    const plain = referenceBackend();
    await mustBeRight(attentionLayer(backend, checked, config), attentionLayer(plain, checked, config));
    await plain.close();

    const prefill = attentionLayer(backend, size, config);
    const decode = attentionLayer(backend, { ...size, rows: 1 }, config);
    const rows = measure({ dense: prefill.dense, select: prefill.select, sparse: prefill.sparse }, { rounds });
    const row = measure({ dense: decode.dense, select: decode.select, sparse: decode.sparse }, { rounds, repeat: 20 });
    const [denseWork, sparseWork] = [work(size.rows, size.length), work(size.rows, blockBudget(config) * config.blockSize)];
    return [
      rate("dense attention, 64 rows over 8k keys, 1 thread", denseWork, rows.dense, "GFLOP/s", 25),
      rate("sparse attention, 64 rows over 24 blocks, 1 thread", sparseWork, rows.sparse, "GFLOP/s", 25),
      rate("block selection, 64 rows over 8k keys, 1 thread", size.rows / 1000, rows.select, "k rows/s"),
      rate("dense attention, 1 row over 8k keys, 1 thread", denseWork / size.rows, row.dense, "GFLOP/s", 25),
      rate("sparse attention, 1 row over 24 blocks, 1 thread", sparseWork / size.rows, row.sparse, "GFLOP/s", 25),
      rate("block selection, 1 row over 8k keys, 1 thread", 1 / 1000, row.select, "k rows/s"),
    ];
  } finally {
    await backend.close();
  }
}

/** GFLOP of `rows` query rows over `keys` keys: two products of 2 operations each; the diagonal block counts half. */
function work(rows: number, keys: number): number {
  return (4 * rows * size.heads * size.headDim * (keys - config.blockSize / 2)) / 1e9;
}

async function mustBeRight(fast: AttentionLayer, plain: AttentionLayer): Promise<void> {
  fast.dense();
  plain.dense();
  mustAgree("dense attention", await fast.output(), await plain.output(), 1e-4);
  fast.select();
  plain.select();
  mustAgree("block selection", await fast.indices(), await plain.indices(), 0);
  fast.sparse();
  plain.sparse();
  mustAgree("sparse attention", await fast.output(), await plain.output(), 1e-4);
}
