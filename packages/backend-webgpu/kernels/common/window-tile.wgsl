// Queries and windows of a level of compressed keys as `score-tile` wants them, for the two passes of selection.
// uses: score-tile query-tile windows

struct Params {
  rows: u32,
  first_row: u32,
  heads: u32,
  kv_heads: u32,
  group: u32,
  tokens: u32,
  chunks: u32,
  head_dim: u32,
  block_size: u32,
  size: u32,
  stride: u32,
  slots: u32,
  q_start4: u32,
  q_stride4: u32,
  pages_start: u32,
  pages_stride: u32,
  scale: f32,
  // Parts that pass 1 cuts the windows into.
  parts: u32,
  // Of a row of pass 2's result.
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Element4>;
@group(0) @binding(2) var<storage, read> rows: array<vec4i>;
@group(0) @binding(3) var<storage, read> page_table: array<i32>;
@group(0) @binding(4) var<storage, read> keys: array<CacheVector>;

var<workgroup> staged: array<vec4f, STAGED>;

// The sequence's first entry of the page table, the windows that its tile may see.
var<private> pages: u32;
var<private> windows: u32;

fn query_place(row: u32) -> i32 {
  if !has_query(row) {
    return -1;
  }
  return i32(params.q_start4 + token_of(row) * params.q_stride4 + head_of(row) * fours());
}

fn key_place(window: u32, slot: u32) -> i32 {
  if window >= windows {
    return -1;
  }
  let end = window * params.stride + params.size - 1u;
  let page = u32(page_table[pages + end / params.block_size]);
  return i32(((page * params.kv_heads + tile.kv_head) * params.slots + end % params.block_size / params.stride) * fours());
}

fn query4(at: u32) -> vec4f {
  return params.scale * vec4f(q[at]);
}

fn key4(at: u32) -> vec4f {
  return from_cache(keys[at]);
}
