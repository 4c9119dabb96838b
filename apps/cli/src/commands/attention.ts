import { attend, type AttendResult, type AttentionMode } from "@infllm/attention";
import { sparseConfigFromHf, sparseConfigToHf, type SparseConfig } from "@infllm/block-selection";
import {
  assertWritable,
  backendOption,
  BadUsageError,
  breathe,
  duration,
  integerList,
  type Io,
  jsonOption,
  largestLength,
  openBackend,
  Progress,
  readText,
  type RegisterCommand,
  table,
  threadsOption,
  throwIfInterrupted,
  usageErrors,
  writeBytes,
} from "@infllm/command";
import { fileSource } from "@infllm/model";
import { FormatError, formatShape, hostTensor, openSafetensors, writeSafetensors, type HostTensor } from "@infllm/tensor";
import { Option } from "commander";
import { readLayerInputs, type LayerInputs } from "../attention/inputs.ts";

interface Options {
  readonly inputs: string;
  readonly config?: string;
  readonly mode: AttentionMode;
  readonly rows?: readonly number[];
  readonly backend: string;
  readonly threads?: number;
  readonly out: string;
  readonly json?: true;
}

const help = `
Reads   q [q_length, heads, head_dim], k and v [kv_length, kv_heads, head_dim] (F32, F16 or BF16, keys after RoPE);
        the queries are the last q_length positions. Scores are scaled by 1/sqrt(head_dim).
Writes  out [rows, heads, head_dim] F32 and, when sparse,
        block_indices [kv_heads, rows, budget] I32 (ascending, -1 padded) and
        block_scores [kv_heads, rows, blocks] F32 (pooled, before forcing; -inf where a block has no window).
Config  {"kernel_size": 32, "kernel_stride": 16, "block_size": 64, "init_blocks": 1, "window_size": 2048,
        "topk": 64, "dense_len": 8192, "lse": "approx"}; what is left out gets these values.

Example:
  infllm attention --inputs qkv.safetensors --config sparse.json --rows 0,5,9 --out result.safetensors
`;

export const attention: RegisterCommand = (program, io) => {
  program
    .command("attention")
    .description("Compute one attention layer on given tensors, to compare with another implementation.")
    .requiredOption("--inputs <file>", "safetensors file with q, k and v")
    .option("--config <file>", "JSON with the names of sparse_config, plus lse; may be left out with --mode dense")
    .addOption(
      new Option("--mode <mode>", "auto: sparse from dense_len keys on").choices(["auto", "dense", "sparse"]).default("auto"),
    )
    .addOption(
      new Option("--rows <list>", "query rows to compute, such as 0,5,9 (default: all)").argParser(
        integerList({ min: 0, max: largestLength }),
      ),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .requiredOption("--out <file>", "safetensors file to write")
    .addOption(jsonOption())
    .addHelpText("after", help)
    .action((options: Options) => run(options, io));
};

async function run(options: Options, io: Io): Promise<void> {
  const config = await readConfig(options);
  const file = await fileSource(options.inputs);
  const inputs = await openSafetensors(file).then(readLayerInputs).finally(() => file.close());
  checkRows(options.rows, inputs.qLength);
  await assertWritable(options.out);

  const started = performance.now();
  const { backend, ...result } = await compute(inputs, config, options, io);
  const seconds = (performance.now() - started) / 1000;
  const tensors = outputTensors(result, inputs);
  const metadata = {
    mode: result.sparse ? "sparse" : "dense",
    rows: options.rows?.join(",") ?? "all",
    ...(result.sparse && config ? { sparse_config: JSON.stringify(sparseConfigToHf(config)) } : {}),
  };
  await writeBytes(options.out, writeSafetensors(tensors, metadata));

  const shapes = Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));
  if (options.json) {
    const { heads, kvHeads, headDim, qLength, kvLength } = inputs;
    const document = { mode: metadata.mode, backend, heads, kvHeads, headDim, qLength, kvLength, seconds, out: options.out, shapes };
    io.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
    return;
  }
  io.stdout.write(`${metadata.mode}, ${duration(seconds)} on ${backend}; wrote ${options.out}:\n`);
  io.stdout.write(table(Object.entries(shapes).map(([name, shape]) => [`  ${name}`, formatShape(shape)]), "words"));
}

async function compute(
  inputs: LayerInputs,
  config: SparseConfig | undefined,
  options: Options,
  io: Io,
): Promise<AttendResult & { readonly backend: string }> {
  const backend = await openBackend(options.backend, { threads: options.threads });
  // Comparing needs the numbers as given; a rounded cache would show up as an error of ours.
  const kvCache = backend.capabilities.kvCache.includes("f32") ? "f32" : undefined;
  const progress = new Progress(io.stderr);
  const onProgress = async (state: { processed: number; total: number }): Promise<void> => {
    progress.update("Attending", state.processed, state.total, "rows");
    await breathe();
    throwIfInterrupted(io.interrupts.signal);
  };
  try {
    const result = await attend(backend, { ...inputs, config, mode: options.mode, rows: options.rows, kvCache, onProgress });
    return { ...result, backend: backend.name };
  } finally {
    progress.clear();
    await backend.close();
  }
}

async function readConfig({ config, mode }: Options): Promise<SparseConfig | undefined> {
  if (config === undefined) {
    if (mode === "dense") return undefined;
    throw new BadUsageError(`--mode ${mode} needs --config with the sparse_config; without one, use --mode dense.`);
  }
  const text = await readText(config);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${config} is not JSON: ${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
  return usageErrors(() => sparseConfigFromHf(json));
}

function checkRows(rows: readonly number[] | undefined, qLength: number): void {
  const wrong = rows?.find((row) => row >= qLength);
  if (wrong !== undefined) {
    throw new BadUsageError(`--rows has ${wrong}, but q has ${qLength} rows; allowed are 0 to ${qLength - 1}.`);
  }
}

function outputTensors(result: AttendResult, { heads, kvHeads, headDim }: LayerInputs): Record<string, HostTensor> {
  const rows = result.out.length / (heads * headDim);
  const perHead = (dtype: "i32" | "f32", data: Int32Array | Float32Array): HostTensor =>
    hostTensor(dtype, [kvHeads, rows, data.length / (kvHeads * rows)], data);
  return {
    out: hostTensor("f32", [rows, heads, headDim], result.out),
    ...(result.blockIndices && { block_indices: perHead("i32", result.blockIndices) }),
    ...(result.blockScores && { block_scores: perHead("f32", result.blockScores) }),
  };
}
