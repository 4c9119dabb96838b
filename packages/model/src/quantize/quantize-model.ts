import { ConfigError, UnsupportedError, toF32 } from "@infllm/tensor";
import type { Backend, DType } from "@infllm/tensor";
import { writeHfFolder } from "../convert/hf-folder.ts";
import type { WrittenFolder } from "../convert/hf-folder.ts";
import type { StreamedTensor } from "../convert/safetensors-stream.ts";
import { tensorRows, writtenAs } from "../convert/tensor-rows.ts";
import type { ModelFiles } from "../formats/model-files.ts";
import { filesOptions } from "../load/load-model.ts";
import type { LoadProgress, SourceOptions } from "../load/load-model.ts";
import { openModel } from "../load/open-model.ts";
import type { OpenedModel } from "../load/opened-model.ts";
import { assertFinite } from "../weights/finite.ts";
import { names, tensorList } from "../weights/tensor-list.ts";
import { asGptq, gptqTensors } from "./gptq-tensors.ts";
import type { GptqTensor } from "./gptq-tensors.ts";
import { DAMPING } from "./inverse-factor.ts";
import { gptqRounding, nearestRounding } from "./rounding.ts";
import type { Rounding } from "./rounding.ts";

export const quantizeMethods = ["rtn", "gptq"] as const;
/** `rtn` rounds every weight to nearest; `gptq` makes up for the errors with what a text puts through the layers. */
export type QuantizeMethod = (typeof quantizeMethods)[number];

/** Columns that share a scale and a zero point. */
export const QUANTIZE_GROUP = 128;
export const DEFAULT_CALIBRATION_TOKENS = 8192;

export interface QuantizeProgress {
  readonly stage: LoadProgress["stage"] | "calibration" | "rounding";
  readonly name: string;
  /** Bytes; tokens while calibrating, matrices while rounding. */
  readonly done: number;
  readonly total: number;
}

export interface QuantizeOptions extends Omit<SourceOptions, "sparse" | "onProgress"> {
  /** Folder to write. */
  readonly out: string;
  /** `rtn` by default. */
  readonly method?: QuantizeMethod | undefined;
  /** Needed by `gptq`: where the model runs (a backend that the host can look into, as cpu), and a text like those it will read. */
  readonly calibration?: { readonly backend: Backend; readonly text: string; readonly tokens?: number | undefined } | undefined;
  readonly onProgress?: ((progress: QuantizeProgress) => void) | undefined;
}

/**
 * Writes a model with its linear layers in 4 bits, groups of 128, as a folder that GPTQ's readers take: qweight, qzeros,
 * scales and g_idx beside what stays as it is (embeddings, output matrix, norms, biases).
 *
 * One matrix is in memory at a time. GPTQ holds the model on the backend, too, and Σ x·xᵀ of the layers whose turn it is:
 * these take columns² · 16 bytes a matrix, so that large models are calibrated a few layers at a time.
 * @throws as `loadModel` for the source; ConfigError (options, a text that is too short), UnsupportedError (matrices that
 *   are no whole groups, a model that is packed already, a backend without host ops), NotAvailableError for the disk
 */
export async function quantizeModel(source: string | ModelFiles, options: QuantizeOptions): Promise<WrittenFolder> {
  const { out, method = "rtn", calibration } = options;
  if (!quantizeMethods.includes(method)) {
    throw new ConfigError(`quantizeModel: method is ${JSON.stringify(method)}; it must be one of ${quantizeMethods.join(", ")}.`);
  }
  if (out === "") throw new ConfigError("quantizeModel: out is empty; name the folder to write.");
  if (method === "gptq" && calibration === undefined) {
    throw new ConfigError('quantizeModel: method "gptq" needs calibration, a backend and a text; or take "rtn".');
  }
  const onDownload = options.onProgress;
  const opened = await openModel(source, filesOptions({ ...options, onProgress: onDownload }));
  try {
    const matrices = quantizedMatrices(opened);
    const rounding = method === "gptq" && calibration !== undefined
      ? await gptqRounding(opened, matrices, { ...calibration, tokens: calibration.tokens ?? DEFAULT_CALIBRATION_TOKENS }, options)
      : nearestRounding();
    try {
      return await writeHfFolder(opened, out, streamedTensors(opened, matrices, rounding, options), settings(opened));
    } finally {
      await rounding.close();
    }
  } finally {
    await opened.close();
  }
}

/** The linear layers. @throws UnsupportedError for what cannot be quantised, before anything is read */
function quantizedMatrices({ config, quantisation, name }: OpenedModel): ReadonlyMap<string, readonly number[]> {
  if (quantisation !== undefined) {
    throw new UnsupportedError(`${name} is packed already (${quantisation}); quantise the original model in f16 or bf16.`);
  }
  const matrices = new Map<string, readonly number[]>();
  for (const [tensor, shape] of tensorList(config)) {
    if (shape.length !== 2 || tensor === names.embedding || tensor === names.output) continue;
    const [rows = 0, columns = 0] = shape;
    if (columns % QUANTIZE_GROUP !== 0 || rows % 8 !== 0) {
      throw new UnsupportedError(
        `${tensor} is [${rows}, ${columns}]; groups of ${QUANTIZE_GROUP} need columns that are a multiple of ${QUANTIZE_GROUP}, and words of eight ` +
          "rows a multiple of 8. Convert the model to q8_0 or q4_0 instead (infllm convert).",
      );
    }
    matrices.set(tensor, shape);
  }
  return matrices;
}

function streamedTensors(
  opened: OpenedModel,
  matrices: ReadonlyMap<string, readonly number[]>,
  rounding: Rounding,
  { onProgress, signal }: QuantizeOptions,
): StreamedTensor[] {
  const { weights, config } = opened;
  let done = 0;
  let packed: { readonly name: string; readonly parts: Record<GptqTensor["part"], Uint8Array> } | undefined;
  const partsOf = async (name: string, rows: number, columns: number) => {
    if (packed?.name === name) return packed.parts;
    packed = undefined;
    signal?.throwIfAborted();
    const stored = weights.info(name).dtype;
    const data = await weights.readRows(name, 0, rows);
    assertFinite(name, stored, data, columns, 0);
    const blocks = await rounding.round(name, toF32(stored, data, rows * columns), columns);
    packed = { name, parts: asGptq(blocks, rows, columns) };
    onProgress?.({ stage: "rounding", name: opened.name, done: ++done, total: matrices.size });
    return packed.parts;
  };
  return [...tensorList(config)].flatMap(([name, shape]): StreamedTensor[] => {
    if (!matrices.has(name)) {
      const plan = { name, shape, dtype: writtenAs(name, shape, weights.info(name).dtype, plainType(weights.info(name).dtype)) };
      return [{ ...plan, data: () => plainRows(opened, plan) }];
    }
    const [rows = 0, columns = 0] = shape;
    const module = name.slice(0, -".weight".length);
    return gptqTensors.map((tensor) => ({
      name: `${module}.${tensor.part}`,
      dtype: tensor.dtype,
      shape: tensor.shape(rows, columns),
      async *data() {
        yield (await partsOf(name, rows, columns))[tensor.part];
      },
    }));
  });
}

async function* plainRows({ weights }: OpenedModel, plan: { name: string; shape: readonly number[]; dtype: DType }): AsyncGenerator<Uint8Array> {
  for await (const { data } of tensorRows(weights, plan)) yield data;
}

/** Floats stay as they are; what GGUF files hold in blocks becomes f16. */
function plainType(stored: DType): "stored" | "f16" {
  return stored === "f32" || stored === "f16" || stored === "bf16" ? "stored" : "f16";
}

function settings({ weights }: OpenedModel) {
  const torch = { f32: "float32", bf16: "bfloat16" }[String(weights.info(names.embedding).dtype)] ?? "float16";
  return {
    torch_dtype: torch,
    quantization_config: {
      quant_method: "gptq",
      checkpoint_format: "gptq",
      bits: 4,
      group_size: QUANTIZE_GROUP,
      sym: false,
      desc_act: false,
      lm_head: false,
      damp_percent: DAMPING,
      meta: { quantizer: ["infllm"] },
    },
  };
}
