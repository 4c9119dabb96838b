/** Tensor names of GGUF files and what Hugging Face calls the same tensors. */
import { names } from "./tensor-list.ts";

const outside: readonly (readonly [gguf: string, hf: string])[] = [
  ["token_embd.weight", names.embedding],
  ["output_norm.weight", names.finalNorm],
  ["output.weight", names.output],
];

const inLayer: readonly (readonly [gguf: string, hf: string])[] = [
  ["attn_norm", "input_layernorm"],
  ["attn_q", "self_attn.q_proj"],
  ["attn_k", "self_attn.k_proj"],
  ["attn_v", "self_attn.v_proj"],
  ["attn_q_norm", "self_attn.q_norm"],
  ["attn_k_norm", "self_attn.k_norm"],
  ["attn_output", "self_attn.o_proj"],
  ["ffn_norm", "post_attention_layernorm"],
  ["ffn_gate", "mlp.gate_proj"],
  ["ffn_up", "mlp.up_proj"],
  ["ffn_down", "mlp.down_proj"],
];

/** Tables of RoPE divisors: part of the config, not of the weights. */
export const ropeTensors = {
  divisors: "rope_freqs.weight",
  long: "rope_factors_long.weight",
  short: "rope_factors_short.weight",
} as const;

/** The Hugging Face name, or the GGUF name itself when it has none. */
export function hfName(gguf: string): string {
  const fixed = outside.find(([name]) => name === gguf);
  if (fixed !== undefined) return fixed[1];
  const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(gguf) ?? [];
  const known = inLayer.find(([name]) => name === part);
  return known === undefined ? gguf : `model.layers.${layer}.${known[1]}.${kind}`;
}

/** @throws RangeError for a name that is no tensor of these families */
export function ggufName(hf: string): string {
  const fixed = outside.find(([, name]) => name === hf);
  if (fixed !== undefined) return fixed[0];
  const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(hf) ?? [];
  const known = inLayer.find(([, name]) => name === part);
  if (known === undefined) throw new RangeError(`${hf} has no name in GGUF files.`);
  return `blk.${layer}.${known[0]}.${kind}`;
}
