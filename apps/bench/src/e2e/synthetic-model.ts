/** Weights made up on the fly for a stated architecture: right for timing, useless for reading what the model says. */
import { sparseConfigToHf } from "@infllm/block-selection";
import { openModelFiles, type ModelFiles } from "@infllm/model";
import { assertRange, bytesSource, NotAvailableError, readMemory, type ByteSource } from "@infllm/tensor";
import type { ModelShape } from "../shapes.ts";

interface Tensor {
  readonly name: string;
  readonly dtype: "BF16" | "I32";
  readonly shape: readonly number[];
}

export interface SyntheticOptions {
  /** Of the shape's layers, all when absent. */
  readonly layers?: number;
  /** 16 (bf16) when absent; 4: all matrices of the layers in groups of 128 columns, as compressed-tensors packs them. */
  readonly bits?: 16 | 4;
}

const group = 128;

/** Words after which made-up numbers repeat; prime, so that rows of any width differ from each other. */
const period = 65_521;

/**
 * The files of a Hugging Face folder whose weights are computed as they are read. The
 * tokenizer is the embedded model's, whose 4096 tokens every shape has room for.
 */
export function syntheticModel(shape: ModelShape, contextLength: number, { layers = shape.layers, bits = 16 }: SyntheticOptions = {}): ModelFiles {
  const tensors = tensorsOf({ ...shape, layers }, bits);
  const config = new TextEncoder().encode(JSON.stringify(configOf({ ...shape, layers }, contextLength, bits)));
  const files = new Map<string, () => Promise<ByteSource>>([
    ["config.json", async () => bytesSource(config, "config.json")],
    ["model.safetensors", async () => safetensors(tensors)],
    ...["tokenizer.json", "tokenizer_config.json"].map((file) => [file, async () => (await openModelFiles("embedded")).open(file)] as const),
  ]);
  const name = `synthetic ${shape.name}${layers === shape.layers ? "" : `, ${layers} layers`}${bits === 16 ? "" : `, ${bits} bits`}`;
  return {
    name,
    list: async () => [...files.keys()].sort(),
    async open(path) {
      const file = files.get(path);
      if (file === undefined) throw new NotAvailableError(`${name} has no file ${path}.`);
      return file();
    },
    async close() {},
  };
}

function configOf(shape: ModelShape, contextLength: number, bits: 16 | 4): object {
  const weights = { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: group };
  const quantization = { quant_method: "compressed-tensors", format: "pack-quantized", config_groups: { group_0: { weights } } };
  return {
    ...(bits === 4 ? { quantization_config: quantization } : {}),
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    hidden_act: "silu",
    vocab_size: shape.vocabulary,
    max_position_embeddings: contextLength,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: shape.tiedEmbeddings,
    bos_token_id: 0,
    eos_token_id: 1,
    torch_dtype: "bfloat16",
    sparse_config: sparseConfigToHf(shape.sparse),
  };
}

function tensorsOf({ layers, hidden, intermediate, heads, kvHeads, headDim, vocabulary, tiedEmbeddings }: ModelShape, bits: 16 | 4): Tensor[] {
  const tensors: Tensor[] = [{ name: "model.embed_tokens.weight", dtype: "BF16", shape: [vocabulary, hidden] }];
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, rows: number, columns?: number): void => {
      const weight = `model.layers.${layer}.${name}.weight`;
      if (columns === undefined) tensors.push({ name: weight, dtype: "BF16", shape: [rows] });
      else if (bits === 16) tensors.push({ name: weight, dtype: "BF16", shape: [rows, columns] });
      else tensors.push({ name: `${weight}_packed`, dtype: "I32", shape: [rows, columns / 8] }, { name: `${weight}_scale`, dtype: "BF16", shape: [rows, columns / group] });
    };
    add("input_layernorm", hidden);
    add("self_attn.q_proj", heads * headDim, hidden);
    add("self_attn.k_proj", kvHeads * headDim, hidden);
    add("self_attn.v_proj", kvHeads * headDim, hidden);
    add("self_attn.o_proj", hidden, heads * headDim);
    add("post_attention_layernorm", hidden);
    add("mlp.gate_proj", intermediate, hidden);
    add("mlp.up_proj", intermediate, hidden);
    add("mlp.down_proj", hidden, intermediate);
  }
  tensors.push({ name: "model.norm.weight", dtype: "BF16", shape: [hidden] });
  if (!tiedEmbeddings) tensors.push({ name: "lm_head.weight", dtype: "BF16", shape: [vocabulary, hidden] });
  return tensors;
}

/** A safetensors file that exists only as far as it is read. */
function safetensors(tensors: readonly Tensor[]): ByteSource {
  const entries: Record<string, object> = {};
  const starts: number[] = [];
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = (dtype === "I32" ? 4 : 2) * shape.reduce((product, axis) => product * axis, 1);
    entries[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    starts.push(offset);
    offset += bytes;
  }
  const text = JSON.stringify(entries);
  const header = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const head = new Uint8Array(8 + header.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
  head.set(header, 8);
  const source = { name: "model.safetensors", size: head.length + offset };
  const patterns = tensors.map(patternOf);
  return {
    ...source,
    async read(from, to, into) {
      assertRange(source, from, to);
      const bytes = readMemory(to - from, into);
      if (from < head.length) bytes.set(head.subarray(from, Math.min(to, head.length)));
      for (const [index, pattern] of patterns.entries()) {
        const start = head.length + (starts[index] ?? 0);
        const end = head.length + (starts[index + 1] ?? offset);
        if (end > from && start < to) fill(bytes, from, Math.max(start, from), Math.min(end, to), start, pattern);
      }
      return bytes;
    },
    async close() {},
  };
}

/** Copies file bytes `[first, last)` of a tensor that starts at `start` into `bytes`, which begin at `from`. */
function fill(bytes: Uint8Array, from: number, first: number, last: number, start: number, pattern: Uint8Array): void {
  for (let at = first; at < last; ) {
    const phase = (at - start) % pattern.length;
    const count = Math.min(pattern.length - phase, last - at);
    bytes.set(pattern.subarray(phase, phase + count), at - from);
    at += count;
  }
}

/**
 * Words of 16 bits. Norms are 1; matrices get numbers of either sign around 1 / √columns, so that activations keep their
 * size; quants are random, and their scales make such numbers of them.
 */
function patternOf({ name, dtype, shape }: Tensor): Uint8Array {
  const words = new Uint16Array(period);
  const columns = (shape[1] ?? 1) * (name.endsWith("_scale") ? group : 1);
  const exponent = 127 - Math.round(Math.log2(columns) / 2) - (name.endsWith("_scale") ? 2 : 0);
  let state = 0x9e3779b9 ^ shape.reduce((sum, axis) => Math.imul(sum, 31) + axis, 7);
  for (let i = 0; i < period; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    if (dtype === "I32") words[i] = state >>> 16;
    else if (shape.length === 1) words[i] = 0x3f80;
    else words[i] = (name.endsWith("_scale") ? 0 : (state >>> 31) << 15) | (exponent << 7) | ((state >>> 13) & 0x7f);
  }
  return new Uint8Array(words.buffer);
}
