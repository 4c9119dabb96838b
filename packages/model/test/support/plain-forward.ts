/**
 * The forward pass written out plainly in float64, from the families' published definitions and straight from
 * config.json: shares no code with the package. Dense attention, no cache, every position at once.
 */
import type { RandomModel } from "./random-model.ts";

type Rows = number[][];

/** Logits `[positions][vocabulary]`. @param context what length-dependent RoPE scalings take as the length */
export function plainLogits(model: RandomModel, ids: readonly number[], context: number): Rows {
  const { config } = model;
  const n = (name: string, fallback = 1) => (config[name] as number | undefined) ?? fallback;
  const muP = config.model_type === "minicpm";
  const branch = muP ? n("scale_depth") / Math.sqrt(n("num_hidden_layers")) : 1;
  const norm = (x: Rows, name: string) => x.map((row) => rmsNorm(row, vector(model, name), n("rms_norm_eps")));
  const embedding = matrix(model, "model.embed_tokens.weight");
  let x = ids.map((id) => at(embedding, id).map((value) => value * (muP ? n("scale_emb") : 1)));
  for (let layer = 0; layer < n("num_hidden_layers"); layer++) {
    const prefix = `model.layers.${layer}.`;
    x = added(x, attention(model, prefix, norm(x, `${prefix}input_layernorm.weight`), context), branch);
    x = added(x, mlp(model, prefix, norm(x, `${prefix}post_attention_layernorm.weight`)), branch);
  }
  const divisor = muP ? n("hidden_size") / n("dim_model_base") : 1;
  const final = norm(x, "model.norm.weight").map((row) => row.map((value) => value / divisor));
  const output = config["tie_word_embeddings"] === true ? embedding : matrix(model, "lm_head.weight");
  return final.map((row) => output.map((weights) => dot(weights, row)));
}

function attention(model: RandomModel, prefix: string, x: Rows, context: number): Rows {
  const { config } = model;
  const d = config["head_dim"] as number;
  const heads = config["num_attention_heads"] as number;
  const kvHeads = config["num_key_value_heads"] as number;
  const rope = ropeOf(config, context);
  const project = (name: string, count: number, normName?: string) =>
    linear(model, `${prefix}self_attn.${name}`, x).map((row, position) =>
      Array.from({ length: count }, (_, head) => {
        const part = row.slice(head * d, head * d + d);
        if (normName === undefined) return part;
        const weight = `${prefix}self_attn.${normName}.weight`;
        const normed = model.tensors.has(weight) ? rmsNorm(part, vector(model, weight), config["rms_norm_eps"] as number) : part;
        return rotate(normed, position, rope);
      }),
    );
  const q = project("q_proj", heads, "q_norm");
  const k = project("k_proj", kvHeads, "k_norm");
  const v = project("v_proj", kvHeads);
  const out = x.map((_, position) =>
    Array.from({ length: heads }, (_, head) => {
      const kv = Math.floor(head / (heads / kvHeads));
      const query = at(at(q, position), head);
      const scores = k.slice(0, position + 1).map((keys) => dot(query, at(keys, kv)) / Math.sqrt(d));
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const sum = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: d }, (_, i) => dot(weights, v.slice(0, position + 1).map((row) => at(at(row, kv), i))) / sum);
    }).flat(),
  );
  return linear(model, `${prefix}self_attn.o_proj`, out);
}

function mlp(model: RandomModel, prefix: string, x: Rows): Rows {
  const gate = linear(model, `${prefix}mlp.gate_proj`, x);
  const up = linear(model, `${prefix}mlp.up_proj`, x);
  const gated = gate.map((row, r) => row.map((value, i) => (value / (1 + Math.exp(-value))) * at(at(up, r), i)));
  return linear(model, `${prefix}mlp.down_proj`, gated);
}

interface Rope {
  readonly frequencies: number[];
  readonly amplitude: number;
}

/** The scalings in the words of transformers' `modeling_rope_utils`, with its variable names. */
function ropeOf(config: RandomModel["config"], context: number): Rope {
  const dim = config["head_dim"] as number;
  const base = config["rope_theta"] as number;
  const maxPosition = config["max_position_embeddings"] as number;
  const s = (config["rope_scaling"] ?? {}) as Record<string, never>;
  const inverse = (b: number) => Array.from({ length: dim / 2 }, (_, i) => 1 / b ** ((2 * i) / dim));
  const factor = s["factor"] as unknown as number;
  switch ((s["rope_type"] ?? s["type"] ?? "default") as string) {
    case "linear":
      return { frequencies: inverse(base).map((f) => f / factor), amplitude: 1 };
    case "dynamic": {
      const length = Math.max(context, maxPosition);
      const scaledBase = base * ((factor * length) / maxPosition - (factor - 1)) ** (dim / (dim - 2));
      return { frequencies: inverse(scaledBase), amplitude: 1 };
    }
    case "llama3": {
      const old = s["original_max_position_embeddings"] as unknown as number;
      const low = old / (s["low_freq_factor"] as unknown as number);
      const high = old / (s["high_freq_factor"] as unknown as number);
      const frequencies = inverse(base).map((f) => {
        const wavelength = (2 * Math.PI) / f;
        if (wavelength < high) return f;
        if (wavelength > low) return f / factor;
        const smooth = (old / wavelength - old / low) / (old / high - old / low);
        return ((1 - smooth) * f) / factor + smooth * f;
      });
      return { frequencies, amplitude: 1 };
    }
    case "yarn": {
      const old = s["original_max_position_embeddings"] as unknown as number;
      const dimOf = (rotations: number) => (dim * Math.log(old / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
      const low = Math.max(Math.floor(dimOf(32)), 0);
      const high = Math.min(Math.ceil(dimOf(1)), dim - 1);
      const frequencies = inverse(base).map((f, i) => {
        const extrapolation = 1 - Math.min(1, Math.max(0, (i - low) / (high - low)));
        return (f / factor) * (1 - extrapolation) + f * extrapolation;
      });
      return { frequencies, amplitude: 0.1 * Math.log(factor) + 1 };
    }
    case "longrope": {
      const old = s["original_max_position_embeddings"] as unknown as number;
      const list = (context > old ? s["long_factor"] : s["short_factor"]) as unknown as number[];
      const amplitude = maxPosition > old ? Math.sqrt(1 + Math.log(maxPosition / old) / Math.log(old)) : 1;
      return { frequencies: inverse(base).map((f, i) => f / at(list, i)), amplitude };
    }
    default:
      return { frequencies: inverse(base), amplitude: 1 };
  }
}

function rotate(head: number[], position: number, { frequencies, amplitude }: Rope): number[] {
  const half = head.length / 2;
  return head.map((value, i) => {
    const angle = position * at(frequencies, i % half);
    const partner = i < half ? -at(head, i + half) : at(head, i - half);
    return amplitude * (value * Math.cos(angle) + partner * Math.sin(angle));
  });
}

function linear(model: RandomModel, name: string, x: Rows): Rows {
  const weight = matrix(model, `${name}.weight`);
  const bias = model.tensors.has(`${name}.bias`) ? vector(model, `${name}.bias`) : undefined;
  return x.map((row) => weight.map((weights, i) => dot(weights, row) + (bias === undefined ? 0 : at(bias, i))));
}

function rmsNorm(row: number[], weight: number[], epsilon: number): number[] {
  const scale = 1 / Math.sqrt(dot(row, row) / row.length + epsilon);
  return row.map((value, i) => value * scale * at(weight, i));
}

function added(x: Rows, delta: Rows, scale: number): Rows {
  return x.map((row, r) => row.map((value, i) => value + scale * at(at(delta, r), i)));
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (const [i, value] of a.entries()) sum += value * at(b, i);
  return sum;
}

const cache = new WeakMap<object, Rows>();

function matrix(model: RandomModel, name: string): Rows {
  const tensor = model.tensors.get(name);
  if (tensor === undefined) throw new Error(`no ${name}`);
  const known = cache.get(tensor);
  if (known !== undefined) return known;
  const columns = tensor.shape.at(-1) ?? 1;
  const rows = Array.from({ length: tensor.values.length / columns }, (_, r) => [
    ...tensor.values.subarray(r * columns, (r + 1) * columns),
  ]);
  cache.set(tensor, rows);
  return rows;
}

function vector(model: RandomModel, name: string): number[] {
  return at(matrix(model, name), 0);
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`index ${index} of ${list.length}`);
  return item;
}
