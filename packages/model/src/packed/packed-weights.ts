import { FormatError, UnsupportedError, formatShape, toF32 } from "@infllm/tensor";
import type { WeightSource } from "../formats/weight-source.ts";
import { awqLayout } from "./layouts/awq.ts";
import { compressedLayout } from "./layouts/compressed-tensors.ts";
import { gptqLayout } from "./layouts/gptq.ts";
import { marlinLayout } from "./layouts/marlin.ts";
import { OpenMatrices } from "./open-matrices.ts";
import type { PackedConfig, PackedMethod } from "./packed-config.ts";
import type { PackedLayout, PackedPart, PackedShape } from "./packed-layout.ts";
import { packedDType } from "./packed-rows.ts";
import type { PackedDType, PackedMatrix } from "./packed-rows.ts";
import { scaleBits } from "./scale-bits.ts";

const layouts: Readonly<Record<PackedMethod, PackedLayout>> = {
  gptq: gptqLayout,
  marlin: marlinLayout,
  awq: awqLayout,
  "compressed-tensors": compressedLayout,
};

/** Linear layers in one matrix, one below the other (CPM.cu's repack): the last parts of their names. */
const fused: Readonly<Record<string, readonly string[]>> = {
  "self_attn.qkv_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "mlp.gate_up_proj": ["mlp.gate_proj", "mlp.up_proj"],
};

/** Shapes of a model's tensors by name: see `tensorList`. */
type Expected = ReadonlyMap<string, readonly number[]>;

/** A linear layer, or several fused ones, whose weight is packed: the names of its tensors, checked against each other. */
interface PackedModule {
  readonly name: string;
  readonly shape: PackedShape;
  readonly dtype: PackedDType;
  readonly quants: string;
  readonly scales: string;
  readonly zeros?: string;
  readonly order?: string;
}

/** Rows `[from, from + rows)` of a module's matrix. */
interface PackedWeight {
  readonly module: PackedModule;
  readonly from: number;
  readonly rows: number;
}

const remedy = "The checkpoint is damaged, or its quantization_config is that of another; fetch it again.";

/** Names of tensors by which a checkpoint shows that it is packed. */
export function isPackedPart(name: string): boolean {
  return /\.(qweight|B|weight_packed)$/.test(name);
}

/**
 * The weights of a packed checkpoint as matrices `[out, in]` named `….weight`: q4_g128, or q8_0 where groups are smaller
 * than its. What is not packed stays as it is. Rows of a packed matrix are cut from all of it: see `OpenMatrices`.
 *
 * Names, types and shapes are checked here, from headers alone; `verify` reads what only contents show.
 * @param expected what the model has: it tells how fused matrices are cut, and which biases are not its own (zeros that
 *   some tools add)
 * @throws FormatError (tensors that are missing, of another type or shape), UnsupportedError (groups that do not fit)
 */
export function packedWeights(source: WeightSource, config: PackedConfig, expected: Expected): WeightSource {
  const layout = layouts[config.method];
  const modules = findModules(source, config, layout);
  const weights = new Map(modules.flatMap((module) => weightsOf(module, expected)));
  const parts = modules.flatMap((module) => partsOf(source, layout, module));
  const emptyBiases = modules.map(({ name }) => `${name}.bias`).filter((bias) => source.names.includes(bias) && !expected.has(bias));
  const hidden = new Set([...parts, ...emptyBiases]);
  const largest = modules.reduce((most, { shape }) => Math.max(most, (shape.rows * shape.columns) / 2), 0);
  const matrices = new OpenMatrices<PackedModule>(largest, (module, memory) => readMatrix(source, config, layout, module, memory));
  return {
    names: [...weights.keys(), ...source.names.filter((name) => !hidden.has(name))],
    info(name) {
      const weight = weights.get(name);
      if (weight === undefined) return source.info(name);
      return { dtype: weight.module.dtype, shape: [weight.rows, weight.module.shape.columns] };
    },
    async readRows(name, from, to, into) {
      const weight = weights.get(name);
      if (weight === undefined) return source.readRows(name, from, to, into);
      return matrices.rows(weight.module, weight.from + from, weight.from + to, into);
    },
    async verify(signal) {
      for (const module of modules) {
        signal?.throwIfAborted();
        await requireOrder(source, module);
      }
      for (const bias of emptyBiases) await requireZero(source, bias);
    },
  };
}

function findModules(source: WeightSource, config: PackedConfig, layout: PackedLayout): PackedModule[] {
  const names = new Set(source.names);
  const found: PackedModule[] = [];
  for (const tensor of source.names) {
    const suffix = layout.quants.names.find((part) => tensor.endsWith(`.${part}`));
    if (suffix === undefined) continue;
    const module = tensor.slice(0, -suffix.length - 1);
    const weight = `${module}.weight`;
    if (names.has(weight)) throw new FormatError(`The checkpoint has both ${weight} and ${tensor}; one of them can be meant. ${remedy}`);
    found.push(checkedModule(source, names, config, layout, module, tensor));
  }
  if (found.length > 0) return found;
  throw new FormatError(
    `The config says ${config.description}, but no tensor is named ….${layout.quants.names.join(" or ….")}. ` +
      "Use the config and the weights of the same model.",
  );
}

/** The weights that a module holds, by name. @throws FormatError when fused rows are not those of the model */
function weightsOf(module: PackedModule, expected: Expected): [string, PackedWeight][] {
  const [ending, parts] = Object.entries(fused).find(([last]) => module.name.endsWith(`.${last}`)) ?? [];
  if (ending === undefined || parts === undefined) return [[`${module.name}.weight`, { module, from: 0, rows: module.shape.rows }]];
  const prefix = module.name.slice(0, -ending.length);
  let from = 0;
  const weights = parts.map((part): [string, PackedWeight] => {
    const name = `${prefix}${part}.weight`;
    const rows = expected.get(name)?.[0] ?? 0;
    const weight = { module, from, rows };
    from += rows;
    return [name, weight];
  });
  if (from === module.shape.rows) return weights;
  throw new FormatError(
    `${module.quants} holds ${module.shape.rows} rows, but the config gives ${parts.join(", ")} ${from} together. Use the config and the weights of the same model.`,
  );
}

function checkedModule(
  source: WeightSource,
  names: ReadonlySet<string>,
  config: PackedConfig,
  layout: PackedLayout,
  name: string,
  quants: string,
): PackedModule {
  requireType(source, quants, ["i32"]);
  const given = source.info(quants).shape;
  const size = given.length === 2 ? layout.matrix(given) : undefined;
  if (size === undefined) throw new FormatError(`${quants} has shape ${formatShape(given)}, which no matrix of ${config.description} has. ${remedy}`);
  const shape = grouped(name, size, config.groupSize);
  const scales = requirePart(source, names, name, quants, layout.scales, shape, ["f16", "bf16", "f32"]);
  const hasZeros = layout.zeros !== undefined && (layout.zeros.required || findPart(names, name, layout.zeros) !== undefined);
  const zeros = hasZeros && layout.zeros ? requirePart(source, names, name, quants, layout.zeros, shape, ["i32"]) : undefined;
  const order = layout.order !== undefined && names.has(`${name}.${layout.order}`) ? `${name}.${layout.order}` : undefined;
  if (order !== undefined) {
    requireType(source, order, ["i32"]);
    requireShape(source, order, [shape.columns], config);
  }
  const dtype = packedDType(shape.columns, shape.columns / shape.groups);
  return { name, shape, dtype, quants, scales, ...(zeros === undefined ? {} : { zeros }), ...(order === undefined ? {} : { order }) };
}

function grouped(name: string, { rows, columns }: { rows: number; columns: number }, groupSize: number): PackedShape {
  const size = groupSize === -1 ? columns : groupSize;
  if (columns > 0 && columns % size === 0 && size % 32 === 0) return { rows, columns, groups: columns / size };
  throw new UnsupportedError(
    `${name} has ${columns} columns, which are no whole groups of ${groupSize === -1 ? "a multiple of 32" : size}. ` +
      "Use a model with another group size, in f16 or bf16, or as GGUF.",
  );
}

function findPart(names: ReadonlySet<string>, module: string, { names: suffixes }: PackedPart): string | undefined {
  return suffixes.map((suffix) => `${module}.${suffix}`).find((name) => names.has(name));
}

function requirePart(
  source: WeightSource,
  names: ReadonlySet<string>,
  module: string,
  quants: string,
  part: PackedPart,
  shape: PackedShape,
  dtypes: readonly string[],
): string {
  const found = findPart(names, module, part);
  if (found === undefined) {
    throw new FormatError(`The checkpoint has ${quants}, but no ${module}.${part.names.join(" or .")}, without which it cannot be read. ${remedy}`);
  }
  requireType(source, found, dtypes);
  const wanted = part.shape(shape);
  const given = source.info(found).shape;
  if (given.length === wanted.length && given.every((axis, i) => axis === wanted[i])) return found;
  throw new FormatError(
    `${found} has shape ${formatShape(given)}; beside ${quants} ${formatShape(source.info(quants).shape)} and with ${shape.groups} ` +
      `groups of ${shape.columns / shape.groups} columns it must be ${formatShape(wanted)}. ${remedy}`,
  );
}

function requireType(source: WeightSource, name: string, dtypes: readonly string[]): void {
  const { dtype } = source.info(name);
  if (!dtypes.includes(dtype)) throw new FormatError(`${name} is ${dtype}; it must be ${dtypes.join(" or ")}. ${remedy}`);
}

function requireShape(source: WeightSource, name: string, wanted: readonly number[], config: PackedConfig): void {
  const given = source.info(name).shape;
  if (given.length === wanted.length && given.every((axis, i) => axis === wanted[i])) return;
  throw new FormatError(`${name} has shape ${formatShape(given)}; in ${config.description} it must be ${formatShape(wanted)}. ${remedy}`);
}

/** Everything of the module that is not shown under its own name. */
function partsOf(source: WeightSource, layout: PackedLayout, { name, quants, scales, zeros, order }: PackedModule): string[] {
  const others = ["weight_shape", "workspace", ...(layout.zeros?.names ?? ["qzeros"])].map((part) => `${name}.${part}`);
  const own = [quants, scales, zeros, order].filter((part) => part !== undefined);
  return [...own, ...others.filter((part) => source.names.includes(part))];
}

async function readMatrix(
  source: WeightSource,
  config: PackedConfig,
  layout: PackedLayout,
  { shape, dtype, quants, scales, zeros }: PackedModule,
  memory: Uint8Array,
): Promise<PackedMatrix> {
  const read = async (name: string, into?: Uint8Array) => source.readRows(name, 0, source.info(name).shape[0] ?? 0, into);
  const stored = layout.groupScales(scaleBits(scales, source.info(scales).dtype, await read(scales)), shape);
  const points = zeros === undefined ? undefined : layout.zeros?.points(words(await read(zeros)), shape);
  if (points !== undefined && config.zeroOffset > 0) for (let i = 0; i < points.length; i++) points[i] = (points[i] as number) + config.zeroOffset;
  return { layout, shape, dtype, scales: stored, zeros: points ?? new Uint8Array(shape.groups * shape.rows).fill(8), quants: words(await read(quants, memory)) };
}

function words(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** @throws UnsupportedError when columns were quantised out of order, so that groups are not neighbours */
async function requireOrder(source: WeightSource, { name, shape, order }: PackedModule): Promise<void> {
  if (order === undefined) return;
  const groups = words(await source.readRows(order, 0, 1));
  const size = shape.columns / shape.groups;
  const at = groups.findIndex((group, column) => group !== Math.floor(column / size));
  if (at < 0) return;
  throw new UnsupportedError(
    `${order} puts column ${at} of ${name} into group ${groups[at]}: the model was quantised with act-order (desc_act), whose ` +
      "groups are no neighbouring columns, and no kernel here reads that. Use a version without act-order, in Marlin's order, " +
      "AWQ or GGUF, or quantise the original model with `infllm quantize`.",
  );
}

/** @throws FormatError for a bias that the model has no place for */
async function requireZero(source: WeightSource, name: string): Promise<void> {
  const { dtype, shape } = source.info(name);
  const values = toF32(dtype, await source.readRows(name, 0, 1), shape[0] ?? 0);
  if (values.every((value) => value === 0)) return;
  throw new FormatError(`${name} is not zero, but the config says that this layer has no bias. Use the config and the weights of the same model.`);
}
