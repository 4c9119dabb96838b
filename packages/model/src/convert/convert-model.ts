import { ConfigError, rowBytes, tensorBytes } from "@infllm/tensor";
import type { DType, EncodableDType } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import { writeGguf } from "../formats/gguf-writer.ts";
import type { GgufTensor } from "../formats/gguf-writer.ts";
import type { ModelFiles } from "../formats/model-files.ts";
import { filesOptions } from "../load/load-model.ts";
import type { SourceOptions } from "../load/load-model.ts";
import { openModel } from "../load/open-model.ts";
import type { OpenedModel } from "../load/opened-model.ts";
import { ggufName } from "../weights/gguf-names.ts";
import { hfRow, isReordered, reorder } from "../weights/rope-order.ts";
import { tensorList } from "../weights/tensor-list.ts";
import { configMetadata, ropeTensorsOf } from "./gguf-metadata.ts";
import { vocabularyMetadata } from "./gguf-vocabulary.ts";
import { writeHfFolder } from "./hf-folder.ts";
import { writeFileWhole } from "./output-file.ts";
import type { StreamedTensor } from "./safetensors-stream.ts";
import { tensorRows, writtenAs } from "./tensor-rows.ts";
import type { TensorPlan } from "./tensor-rows.ts";

export const convertTypes = ["f32", "f16", "bf16", "q8_0", "q4_0"] as const;

export type ConvertType = (typeof convertTypes)[number];

export interface ConvertOptions extends Omit<SourceOptions, "sparse"> {
  readonly to: "gguf" | "safetensors";
  /** Type of the weight matrices; as stored when absent. Norms and biases stay f32 in GGUF. */
  readonly dtype?: ConvertType | undefined;
  /** Path of the GGUF file, or of the folder for safetensors. */
  readonly out: string;
}

export interface Converted {
  /** Paths of what was written. */
  readonly files: readonly string[];
  /** Bytes of the weight file. */
  readonly bytes: number;
}

/**
 * Writes a model in another format or type: one GGUF file with its tokenizer inside, or a Hugging Face folder.
 * Weights stream through in pieces. A file appears under its name only once it is complete.
 * @throws as `loadModel` for the source; UnsupportedError for what the target cannot hold; NotAvailableError for the disk
 */
export async function convertModel(source: string | ModelFiles, options: ConvertOptions): Promise<Converted> {
  const { to, dtype, out } = options;
  if (to !== "gguf" && to !== "safetensors") throw new ConfigError(`convertModel: to is ${JSON.stringify(to)}; it must be "gguf" or "safetensors".`);
  if (dtype !== undefined && !convertTypes.includes(dtype)) {
    throw new ConfigError(`convertModel: dtype is ${JSON.stringify(dtype)}; it must be one of ${convertTypes.join(", ")}.`);
  }
  if (out === "") throw new ConfigError("convertModel: out is empty; name the file or folder to write.");
  const opened = await openModel(source, filesOptions(options));
  try {
    await opened.weights.verify?.(options.signal);
    return await (to === "gguf" ? toGguf(opened, options) : toSafetensors(opened, options));
  } finally {
    await opened.close();
  }
}

async function toGguf(opened: OpenedModel, { dtype, out, onProgress, signal }: ConvertOptions): Promise<Converted> {
  const { config, weights } = opened;
  const advance = progress(opened, onProgress, signal);
  const tensors = [...tensorList(config)].map(([name, shape]): GgufTensor => {
    const stored = weights.info(name).dtype;
    const plan = { name, shape, dtype: shape.length === 1 ? ("f32" as const) : writtenAs(name, shape, stored, dtype ?? ggufType(stored)) };
    return { name: ggufName(name), dtype: plan.dtype, shape, data: () => ggufData(opened, plan, advance) };
  });
  const contents = {
    metadata: [
      ...configMetadata(config, opened.name, dtype ?? "stored"),
      ...vocabularyMetadata(await opened.tokenizer(), config),
    ],
    tensors: [...ropeTensorsOf(config), ...tensors],
  };
  const bytes = await writeFileWhole(out, (sink) => writeGguf(sink, contents));
  return { files: [out], bytes };
}

/** GGUF has no q4_g128; q4_1 takes its quants as they are. */
function ggufType(stored: DType): "stored" | "q4_1" {
  return stored === "q4_g128" ? "q4_1" : "stored";
}

/** A tensor's data in GGUF's row order. */
async function* ggufData(
  { config, weights }: OpenedModel,
  plan: TensorPlan,
  advance: (name: string) => void,
): AsyncGenerator<Uint8Array> {
  const moved = isReordered(config, plan.name);
  for await (const { data, from } of tensorRows(weights, plan, moved ? config.headDim : 1)) {
    yield moved ? reordered(config, plan, data, from) : data;
  }
  advance(plan.name);
}

function reordered({ headDim }: ModelConfig, { dtype, shape }: TensorPlan, data: Uint8Array, from: number): Uint8Array {
  const itemBytes = shape.length === 1 ? rowBytes(dtype, 1) : rowBytes(dtype, shape[1] ?? 0);
  return reorder(data, itemBytes, from, (row) => hfRow(row, headDim));
}

async function toSafetensors(opened: OpenedModel, { dtype, out, onProgress, signal }: ConvertOptions): Promise<Converted> {
  const { config, weights } = opened;
  const advance = progress(opened, onProgress, signal);
  const tensors = [...tensorList(config)].map(([name, shape]): StreamedTensor => {
    const wanted: EncodableDType | "stored" = dtype ?? "stored";
    const plan = { name, shape, dtype: writtenAs(name, shape, weights.info(name).dtype, wanted) };
    return { ...plan, data: () => rowsOf(opened, plan, advance) };
  });
  const torch = { f32: "float32", f16: "float16", bf16: "bfloat16" }[String(dtype)];
  return writeHfFolder(opened, out, tensors, torch === undefined ? {} : { torch_dtype: torch });
}

async function* rowsOf({ weights }: OpenedModel, plan: TensorPlan, advance: (name: string) => void): AsyncGenerator<Uint8Array> {
  for await (const { data } of tensorRows(weights, plan)) yield data;
  advance(plan.name);
}

/** Counts source bytes tensor by tensor; stops when the signal says so. */
function progress({ name, weights, storedBytes }: OpenedModel, onProgress: ConvertOptions["onProgress"], signal: AbortSignal | undefined) {
  let done = 0;
  return (tensor: string): void => {
    signal?.throwIfAborted();
    const { dtype, shape } = weights.info(tensor);
    done += tensorBytes(dtype, shape);
    onProgress?.({ stage: "weights", name, done, total: storedBytes });
  };
}
