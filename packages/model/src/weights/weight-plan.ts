import { UnsupportedError, dtypeInfo, isEncodable, rowBytes } from "@infllm/tensor";
import type { Capabilities, DType, WeightDType } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { layerPrefix, names } from "./tensor-list.ts";

/** Matrices stored as one, their rows below each other. All have the same columns and dtype. */
export interface MatrixPlan {
  readonly sources: readonly string[];
  readonly rows: number;
  readonly columns: number;
  readonly dtype: WeightDType;
}

/** Matrices whose outputs lie side by side in one activation; one `MatrixPlan` for each run of equal dtypes. */
export type LinearPlan = readonly MatrixPlan[];

export interface LayerPlan {
  readonly qkv: LinearPlan;
  readonly output: LinearPlan;
  readonly gateUp: LinearPlan;
  readonly down: LinearPlan;
}

/** What will be allocated for a model, before any weight is read. */
export interface WeightPlan {
  readonly embedding: MatrixPlan;
  /** Absent when the embedding table is the output matrix, too. */
  readonly output?: MatrixPlan;
  readonly layers: readonly LayerPlan[];
  /** Of all matrices, norms and biases as loaded. */
  readonly bytes: number;
}

/** `stored` keeps each tensor's own type where the backend can. */
export type WeightsOption = WeightDType | "stored";

/**
 * What holds a type best where a backend lacks it: q4_1 keeps the quants of q4_g128 (`repackQ4G128`) at 5 bits a number
 * for its 4.25, q8_0 is exact at 8.5. Other types take the first that the backend offers.
 */
const substitutes: Partial<Record<DType, readonly WeightDType[]>> = { q4_g128: ["q4_1", "q8_0"] };

/** @throws UnsupportedError for a `weights` option that the backend or the matrices do not allow */
export function weightPlan(
  source: WeightSource,
  config: ModelConfig,
  offered: Capabilities["weights"],
  option: WeightsOption,
): WeightPlan {
  if (option !== "stored") checkOption(option, offered);
  const matrix = (name: string): MatrixPlan => {
    const { dtype, shape } = source.info(name);
    const [rows = 0, columns = 0] = shape;
    return { sources: [name], rows, columns, dtype: loadedAs(name, dtype, columns, offered, option) };
  };
  const linear = (prefix: string, parts: readonly string[]): LinearPlan =>
    stack(parts.map((part) => matrix(`${prefix}${part}.weight`)));
  const layers = Array.from({ length: config.layers }, (_, layer): LayerPlan => {
    const prefix = layerPrefix(layer);
    return {
      qkv: linear(prefix, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
      output: linear(prefix, ["self_attn.o_proj"]),
      gateUp: linear(prefix, ["mlp.gate_proj", "mlp.up_proj"]),
      down: linear(prefix, ["mlp.down_proj"]),
    };
  });
  const plan = {
    embedding: matrix(names.embedding),
    ...(config.tiedEmbeddings ? {} : { output: matrix(names.output) }),
    layers,
  };
  return { ...plan, bytes: planBytes(plan, config) };
}

function checkOption(dtype: WeightDType, offered: Capabilities["weights"]): void {
  if (isEncodable(dtype) && offered.includes(dtype)) return;
  const allowed = ["stored", ...offered.filter(isEncodable)].join(", ");
  throw new UnsupportedError(`Weights cannot be loaded as ${dtype} on this backend; it allows ${allowed}.`);
}

function loadedAs(
  name: string,
  stored: DType,
  columns: number,
  offered: Capabilities["weights"],
  option: WeightsOption,
): WeightDType {
  const fits = (dtype: WeightDType) => columns % dtypeInfo(dtype).blockElements === 0;
  if (option !== "stored") {
    if (fits(option)) return option;
    throw new UnsupportedError(
      `${name} has ${columns} columns, which ${option} cannot hold: it stores ${dtypeInfo(option).blockElements} numbers a block. Load it as f16, bf16 or f32.`,
    );
  }
  const kept = offered.find((dtype) => dtype === stored);
  const near = substitutes[stored]?.find((dtype) => offered.includes(dtype));
  const other = kept ?? near ?? offered.find((dtype) => isEncodable(dtype) && fits(dtype));
  if (other !== undefined) return other;
  throw new UnsupportedError(`${name} is ${stored}, and this backend holds weights only as ${offered.join(", ")}.`);
}

function stack(matrices: readonly MatrixPlan[]): LinearPlan {
  const stacked: MatrixPlan[] = [];
  for (const matrix of matrices) {
    const last = stacked.at(-1);
    if (last !== undefined && last.dtype === matrix.dtype && last.columns === matrix.columns) {
      stacked.pop();
      stacked.push({ ...last, sources: [...last.sources, ...matrix.sources], rows: last.rows + matrix.rows });
    } else {
      stacked.push(matrix);
    }
  }
  return stacked;
}

function planBytes(plan: Omit<WeightPlan, "bytes">, config: ModelConfig): number {
  const matrices = [
    plan.embedding,
    ...(plan.output === undefined ? [] : [plan.output]),
    ...plan.layers.flatMap((layer) => [...layer.qkv, ...layer.output, ...layer.gateUp, ...layer.down]),
  ];
  const inMatrices = matrices.reduce((sum, { rows, columns, dtype }) => sum + rows * rowBytes(dtype, columns), 0);
  return inMatrices + 4 * vectorElements(config);
}

/** Norm weights and biases, all loaded as f32. */
function vectorElements(config: ModelConfig): number {
  const { hidden, intermediate, heads, kvHeads, headDim, biases } = config;
  const perLayer =
    2 * hidden +
    (config.headNorm ? 2 * headDim : 0) +
    (biases.qkv ? (heads + 2 * kvHeads) * headDim : 0) +
    (biases.output ? hidden : 0) +
    (biases.mlp ? 2 * intermediate + hidden : 0);
  return config.layers * perLayer + hidden;
}
