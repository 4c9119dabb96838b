import { blockBudget, localBlocks, type SparseConfig } from "@infllm/block-selection";
import {
  attentionPaths,
  backendOption,
  count,
  integerList,
  type Io,
  jsonOption,
  kvCacheOption,
  largestLength,
  type ModelBackend,
  openBackend,
  Progress,
  type RegisterCommand,
  showLoading,
  table,
  wrap,
} from "@infllm/command";
import { inspectModel, type ModelDescription, type ModelMemory } from "@infllm/model";
import type { PathReport } from "@infllm/backend-cuda";
import { formatBytes, type CacheDType } from "@infllm/tensor";
import { Option } from "commander";

interface Options {
  readonly context?: readonly number[];
  readonly backend?: string;
  readonly kvCache?: CacheDType;
  readonly json?: true;
}

interface MemoryRow {
  readonly contextLength: number;
  readonly memory: ModelMemory;
  /** Tokens that the last query of a context this long attends to. */
  readonly visibleTokens: number;
}

const help = `
Examples:
  infllm inspect
  infllm inspect hf:openbmb/MiniCPM4-0.5B --context 4096,32768 --kv-cache q8
`;

export const inspect: RegisterCommand = (program, io) => {
  program
    .command("inspect")
    .description("Show a model's architecture, its memory by context length, and when and how it attends sparsely.")
    .argument("[model]", "a folder, a .gguf file, hf:org/name[@revision], or embedded", "embedded")
    .addOption(
      new Option("--context <lengths>", "context lengths to compute memory for, such as 4096,32768").argParser(
        integerList({ min: 1, max: largestLength }),
      ),
    )
    .addOption(backendOption().default(undefined, "an estimate for any: 16-bit cache, f32 buffers"))
    .addOption(kvCacheOption())
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((model: string, options: Options) => run(model, options, io));
};

async function run(source: string, options: Options, io: Io): Promise<void> {
  const progress = new Progress(io.stderr);
  const onProgress = (state: Parameters<typeof showLoading>[1]): void => showLoading(progress, state);
  const description = await inspectModel(source, { onProgress, signal: io.interrupts.signal }).finally(() => progress.clear());
  const { memory, chunk, backend, paths } = await onBackend(options.backend, (opened) => ({
    memory: memoryRows(description, options, opened),
    chunk: opened?.capabilities.prefillRows ?? 512,
    ...(opened && { backend: opened.name, paths: attentionPaths(opened, description, options.kvCache) }),
  }));
  if (options.json) {
    const plain = { ...description, memoryAt: undefined };
    io.stdout.write(`${JSON.stringify({ ...plain, backend, memory, paths }, undefined, 2)}\n`);
    return;
  }
  const columns = Math.max(40, io.stdout.columns ?? 100);
  io.stdout.write(`${describeArchitecture(description)}\n`);
  io.stdout.write(wrap(describeAttention(description.sparse), columns));
  io.stdout.write(`\nMemory ${backend === undefined ? "(estimate)" : `on ${backend}`}:\n${memoryTable(memory)}`);
  const bounded = `Prompts are read in chunks of ${count(chunk)} tokens: buffers hold one chunk and do not grow with the prompt. What ops need `;
  io.stdout.write(wrap(`${bounded} beside all that, generate --stats tells.`, columns));
  if (paths) io.stdout.write(`\nKernels on ${backend}:\n${pathTable(paths)}`);
}

/** Lends the backend of that name to `work`; none without a name. */
async function onBackend<Result>(name: string | undefined, work: (backend?: ModelBackend) => Result): Promise<Result> {
  if (name === undefined) return work();
  const backend = await openBackend(name);
  try {
    return work(backend);
  } finally {
    await backend.close();
  }
}

function memoryRows(description: ModelDescription, { context, kvCache }: Options, backend?: ModelBackend): MemoryRow[] {
  const { trainedContext, sparse } = description;
  const usual = [4096, 32_768, 131_072].filter((length) => length < trainedContext);
  return (context ?? [...usual, trainedContext]).map((contextLength) => ({
    contextLength,
    memory: description.memoryAt(contextLength, backend, { kvCache }),
    visibleTokens: visibleTokens(contextLength, sparse),
  }));
}

function visibleTokens(length: number, sparse: SparseConfig | undefined): number {
  if (sparse === undefined || length < sparse.denseLen) return length;
  return Math.min(length, blockBudget(sparse) * sparse.blockSize);
}

function describeArchitecture(description: ModelDescription): string {
  const { heads, kvHeads, headDim, hidden, intermediate, layers, vocabulary, storedAs, quantisation } = description;
  const stored = Object.entries(storedAs).map(([dtype, parameters]) => `${count(parameters)} ${dtype}`);
  return table(
    [
      ["model", `${description.name} (${description.format})`],
      ["architecture", `${description.architecture}, ${layers} layers, hidden ${hidden}, MLP ${intermediate}`],
      ["parameters", `${count(description.parameters)}: ${stored.join(", ")}`],
      ...(quantisation === undefined ? [] : [["quantised", quantisation] as [string, string]]),
      ["heads", `${heads} query heads on ${kvHeads} KV head${kvHeads === 1 ? "" : "s"} of ${headDim}`],
      ["vocabulary", `${count(vocabulary)}${description.tiedEmbeddings ? ", embeddings tied" : ""}`],
      ["trained for", `${count(description.trainedContext)} tokens`],
    ],
    "words",
  );
}

/** When attention is sparse and what a query then sees, in sentences. */
export function describeAttention(sparse: SparseConfig | undefined): string {
  if (sparse === undefined) {
    return (
      "Attention is dense at every length: the model has no sparse_config. " +
      "generate and chat can run it sparsely with --attention sparse, or with --blocks, --window, --dense-len."
    );
  }
  const { blockSize, initBlocks, windowSize, denseLen, lse } = sparse;
  const budget = blockBudget(sparse);
  const local = localBlocks(sparse) + 1;
  const free = budget - initBlocks - local;
  const from = denseLen <= 0 ? "at every length" : `from ${count(denseLen)} tokens on`;
  return (
    `Attention is sparse ${from}. A query then sees ${budget} blocks of ${blockSize} = ${count(budget * blockSize)} tokens: ` +
    `${initBlocks} at the start, its own and the ${local - 1} before it (a window of ${count(windowSize)} tokens), ` +
    `and the ${free} that score best (${lse} LSE). A text of up to ${count(budget * blockSize)} tokens is seen whole.`
  );
}

function memoryTable(rows: readonly MemoryRow[]): string {
  return table([
    ["context", "weights", "KV cache", "compressed keys", "buffers", "total", "a query sees"],
    ...rows.map(({ contextLength, memory, visibleTokens: seen }) => [
      count(contextLength),
      formatBytes(memory.weights),
      formatBytes(memory.kvCache),
      formatBytes(memory.compressedKeys),
      formatBytes(memory.activations),
      formatBytes(memory.total),
      `${count(seen)} (${Math.round((100 * seen) / contextLength)} %)`,
    ]),
  ]);
}

function pathTable(paths: readonly PathReport[]): string {
  return table([["op", "prefill", "decode"], ...paths.map(({ op, prefill, decode }) => [op, prefill, decode])], "words");
}
