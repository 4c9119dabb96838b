import { attendLayer } from "@infllm/attention";
import type { KvCache } from "@infllm/attention";
import { appendRows } from "@infllm/block-selection";
import type { SequenceBatch } from "@infllm/block-selection";
import type { DeviceTensor, FusedProducts, LinearArgs } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { LayerWeights, LinearPart, ModelWeights } from "../weights/load-weights.ts";
import type { Activations } from "./activations.ts";
import type { ModelBackend } from "./model-backend.ts";

/** A model laid out on a backend: everything a pass reads but the batch. */
export interface Network {
  readonly backend: ModelBackend;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly cache: KvCache;
  readonly activations: Activations;
  /** f32 `[headDim / 2]` */
  readonly frequencies: DeviceTensor;
  readonly amplitude: number;
  /** The last layer attends for rows without logits, too: what the attention method keeps depends on every query. */
  readonly everyQuery: boolean;
}

export interface Pass {
  readonly batch: SequenceBatch;
  /** i32, at least `[rows]`; the first of `activations.ids` when absent. */
  readonly ids?: DeviceTensor;
  /** i32 `[rows]` */
  readonly positions: DeviceTensor;
  readonly sparse: boolean;
  /** Rows whose logits are wanted, `[from, to)` among the batch's; none while a prompt is not complete. */
  readonly logitRows?: Rows;
}

/** Rows `[from, to)`. */
export type Rows = readonly [from: number, to: number];

/** Enqueues one pass; logits go to the first rows of their buffer. */
export function forward(network: Network, pass: Pass): void {
  forwardLayers(network, pass, pass.logitRows !== undefined);
  if (pass.logitRows !== undefined) projectRows(network, pass.logitRows, network.activations.logits);
}

/** All layers; when `complete`, the stream then holds what `projectRows` turns into logits. */
export function forwardLayers(network: Network, pass: Pass, complete: boolean): void {
  const { backend, config, weights, activations } = network;
  const { ids = activations.ids } = pass;
  const { rows } = pass.batch;
  const of = (tensor: DeviceTensor) => tensor.view({ rows: [0, rows] });
  const x = of(activations.x);
  backend.neural.embed({
    ids: of(ids),
    table: weights.embedding,
    scale: config.embeddingScale,
    out: x,
  });
  const fused = fusedProducts(network, rows);
  for (const [index, layer] of weights.layers.entries()) {
    const last = index === weights.layers.length - 1;
    projectQkv(network, layer, pass, index > 0, fused);
    // Nothing reads what the last layer makes of rows without logits; only its keys and values are needed.
    if (last && !complete && !network.everyQuery) {
      cacheOnly(network, index, pass);
      return;
    }
    attend(network, layer, index, pass, fused);
    feedForward(network, layer, rows, last, fused);
  }
}

/**
 * The products that take norms and additions along, if they suit every layer. The stream is then up to date after each block;
 * otherwise a block leaves its delta to be added by the next norm. The last layer always does, since rows may be left out then.
 */
function fusedProducts({ backend, weights }: Network, rows: number): FusedProducts | undefined {
  const { fused } = backend.neural;
  const suit = (parts: readonly LinearPart[]): boolean => parts.every(({ weight }) => fused?.suits(weight, rows));
  const all = weights.layers.every(({ qkv, output, gateUp, down }) => suit(qkv) && suit(output) && suit(down) && suit(gateUp) && wholeGate(gateUp) !== undefined);
  return all ? fused : undefined;
}

/** Norm, q k v, RoPE; adds the delta of the layer before, unless this is the first or the stream has it. */
function projectQkv(network: Network, layer: LayerWeights, pass: Pass, addDelta: boolean, fused: FusedProducts | undefined): void {
  const { backend, config, activations, frequencies, amplitude } = network;
  const { rows } = pass.batch;
  if (fused === undefined) {
    addAndNorm(network, layer.attentionNorm, [0, rows], addDelta, activations.normed);
    linear(network, layer.qkv, activations.normed, activations.qkv, rows);
  } else {
    const norm = { weight: layer.attentionNorm, epsilon: config.normEpsilon };
    eachPart(layer.qkv, activations.x, activations.qkv, rows, (part) => fused.normLinear({ ...part, norm }));
  }
  const { q, k } = heads(network, rows);
  const shared = { headDim: config.headDim, positions: pass.positions, frequencies, amplitude };
  if (layer.headNorm === undefined) {
    const both = activations.qkv.view({ rows: [0, rows], columns: [0, (config.heads + config.kvHeads) * config.headDim] });
    backend.neural.rotate({ x: both, heads: config.heads + config.kvHeads, ...shared });
    return;
  }
  const norm = (weight: DeviceTensor) => ({ norm: { weight, epsilon: config.normEpsilon } });
  backend.neural.rotate({ x: q, heads: config.heads, ...shared, ...norm(layer.headNorm.q) });
  backend.neural.rotate({ x: k, heads: config.kvHeads, ...shared, ...norm(layer.headNorm.k) });
}

function attend(network: Network, layer: LayerWeights, index: number, pass: Pass, fused: FusedProducts | undefined): void {
  const { backend, config, activations } = network;
  const { rows } = pass.batch;
  attendLayer(backend, {
    ...heads(network, rows),
    cache: layerCache(network, index),
    batch: pass.batch,
    scale: 1 / Math.sqrt(config.headDim),
    sparse: pass.sparse,
    blockIndices: activations.blockIndices[index],
    out: activations.attended.view({ rows: [0, rows] }),
  });
  leaveBlock(network, layer.output, activations.attended, rows, fused);
}

/** The product that ends a block: into the stream when `fused`, else left as its delta. */
function leaveBlock(network: Network, parts: readonly LinearPart[], from: DeviceTensor, rows: number, fused: FusedProducts | undefined): void {
  const { activations, config } = network;
  if (fused === undefined) linear(network, parts, from, activations.delta, rows);
  else eachPart(parts, from, activations.x, rows, (part) => fused.addLinear({ ...part, scale: config.residualScale }));
}

function cacheOnly(network: Network, index: number, pass: Pass): void {
  const { selection } = network.backend;
  const { k, v } = heads(network, pass.batch.rows);
  const cache = layerCache(network, index);
  appendRows(selection, { k, v, cache, batch: pass.batch });
}

function feedForward(network: Network, layer: LayerWeights, rows: number, last: boolean, fused: FusedProducts | undefined): void {
  const { activations, config } = network;
  const gate = wholeGate(layer.gateUp);
  if (fused !== undefined && gate !== undefined) {
    const all = { rows: [0, rows] } as const;
    const norm = { weight: layer.mlpNorm, epsilon: config.normEpsilon };
    fused.normGatedLinear({ x: activations.x.view(all), norm, weight: gate.weight, out: activations.gated.view(all) });
  } else {
    addAndNorm(network, layer.mlpNorm, [0, rows], true, activations.normed);
    project(network, layer.gateUp, rows);
  }
  leaveBlock(network, layer.down, activations.gated, rows, last ? undefined : fused);
}

/** Both projections and swiglu; at once where the backend can and they are one matrix without biases. */
function project(network: Network, parts: readonly LinearPart[], rows: number): void {
  const { backend, activations } = network;
  const all = { rows: [0, rows] } as const;
  const [gateUp, out] = [activations.gateUp.view(all), activations.gated.view(all)];
  const gate = wholeGate(parts);
  if (backend.neural.gatedLinear !== undefined && gate !== undefined) {
    backend.neural.gatedLinear({ x: activations.normed.view(all), weight: gate.weight, gateUp, out });
    return;
  }
  linear(network, parts, activations.normed, activations.gateUp, rows);
  backend.neural.swiglu({ gateUp, out });
}

/** The gate and the other projection, when they are one matrix without biases. */
function wholeGate([both, ...others]: readonly LinearPart[]): LinearPart | undefined {
  return both !== undefined && both.bias === undefined && others.length === 0 ? both : undefined;
}

/** Final norm and output matrix of rows that no call before it had, to the first rows of `logits`. */
export function projectRows(network: Network, [from, to]: Rows, logits: DeviceTensor): void {
  const { backend, weights, activations } = network;
  const wanted = { rows: [0, to - from] } as const;
  addAndNorm(network, weights.finalNorm, [from, to], true, activations.normed);
  backend.neural.linear({
    x: activations.normed.view(wanted),
    weight: weights.output,
    out: logits.view(wanted),
  });
}

/** Adds the last block's delta to the stream, then norms rows `[from, to)` into the first rows of `out`. */
function addAndNorm(
  network: Network,
  weight: DeviceTensor,
  rows: Rows,
  addDelta: boolean,
  out: DeviceTensor,
): void {
  const { backend, config, activations } = network;
  backend.neural.rmsNorm({
    x: activations.x.view({ rows }),
    weight,
    epsilon: config.normEpsilon,
    out: out.view({ rows: [0, rows[1] - rows[0]] }),
    ...(addDelta ? { residual: { delta: activations.delta.view({ rows }), scale: config.residualScale } } : {}),
  });
}

function linear(network: Network, parts: readonly LinearPart[], x: DeviceTensor, out: DeviceTensor, rows: number): void {
  eachPart(parts, x, out, rows, (part) => network.backend.neural.linear(part));
}

function eachPart(parts: readonly LinearPart[], x: DeviceTensor, out: DeviceTensor, rows: number, multiply: (args: LinearArgs) => void): void {
  for (const { weight, bias, from, to } of parts) {
    multiply({
      x: x.view({ rows: [0, rows] }),
      weight,
      out: out.view({ rows: [0, rows], columns: [from, to] }),
      ...(bias === undefined ? {} : { bias }),
    });
  }
}

/** q, k and v of the first rows, as column views of the shared buffer. */
function heads({ config, activations }: Network, rows: number) {
  const q = config.heads * config.headDim;
  const kv = config.kvHeads * config.headDim;
  const columns = (from: number, to: number) => activations.qkv.view({ rows: [0, rows], columns: [from, to] });
  return { q: columns(0, q), k: columns(q, q + kv), v: columns(q + kv, q + 2 * kv) };
}

function layerCache({ cache }: Network, index: number) {
  const layer = cache.layers[index];
  if (layer === undefined) throw new RangeError(`The KV cache has ${cache.layers.length} layers; layer ${index} was asked for.`);
  return layer;
}
