// Pass 2 of selection: 2^(score - LSE) of each fine window, summed over the heads of a group, and its maximum over the
// windows of each block. Workgroups: tile of tokens, KV head, run of BLOCKS blocks. Blocks that no row of the tile sees a
// window of are not written: `select-blocks` knows their score.
// uses: <cache> score-tile query-tile windows

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
  // Of `normal`.
  parts: u32,
  // Of a row of `scored`.
  blocks: u32,
}

// Blocks that a workgroup scores; with 4 windows a block, 15 and the window before them are 61 of a tile's 64 keys.
override BLOCKS: u32 = 15u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Element4>;
@group(0) @binding(2) var<storage, read> rows: array<vec4i>;
@group(0) @binding(3) var<storage, read> page_table: array<i32>;
@group(0) @binding(4) var<storage, read> keys: array<CacheVector>;
@group(0) @binding(5) var<storage, read> normal: array<vec2f>;
// [rows, kv_heads, blocks]: bits of the scores.
@group(0) @binding(6) var<storage, read_write> scored: array<u32>;

override STAGED: u32 = max(TILE_ROWS * 8u + 512u, TILE_ROWS * 16u);
var<workgroup> staged: array<vec4f, STAGED>;

var<private> pages: u32;
var<private> windows: u32;
var<private> first_key: u32;

// Larger scores tie, as the contract allows; their sum over a group stays finite.
const MOST_EXPONENT = 121.0;

fn query4(row: u32, column4: u32) -> vec4f {
  if !has_query(row) {
    return vec4f();
  }
  return params.scale * vec4f(q[params.q_start4 + token_of(row) * params.q_stride4 + head_of(row) * fours() + column4]);
}

fn key4(key: u32, column4: u32) -> vec4f {
  if first_key + key >= windows {
    return vec4f();
  }
  let end = (first_key + key) * params.stride + params.size - 1u;
  let page = u32(page_table[pages + end / params.block_size]);
  let slot = end % params.block_size / params.stride;
  return from_cache(keys[((page * params.kv_heads + tile.kv_head) * params.slots + slot) * fours() + column4]);
}

// The largest score of a query, and one over the sum of 2^(score - largest), 0 for no sum, put together from its parts.
fn normaliser_of(row: u32) -> vec2f {
  let first = (token_of(row) * params.heads + head_of(row)) * params.parts;
  var total = normal[first];
  for (var part = 1u; part < params.parts; part++) {
    let next = normal[first + part];
    let largest = max(total.x, next.x);
    total = vec2f(largest, total.y * exp2(total.x - largest) + next.y * exp2(next.x - largest));
  }
  return vec2f(total.x, select(0.0, 1.0 / total.y, total.y > 0.0));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  var here = tile_at(group.x * params.chunks, group.y, params.rows);
  let end = here.first + here.count;
  while here.first < end {
    let about = rows[params.first_row + here.first];
    var next = here.first + 1u;
    while next < end && rows[params.first_row + next].x == about.x {
      next++;
    }
    here.count = next - here.first;
    tile = here;
    if about.x >= 0 {
      score(about, rows[params.first_row + next - 1u].y, group.z * BLOCKS, thread);
    }
    here.first = next;
  }
}

// The tile's rows, of one sequence; the last at position `last`. Blocks first_block to first_block + BLOCKS - 1.
fn score(about: vec4i, last: i32, first_block: u32, thread: u32) {
  let per_block = params.block_size / params.stride;
  pages = params.pages_start + u32(about.x) * params.pages_stride;
  let all = window_count(last + 1, params.size, params.stride);
  windows = all;
  let end = min(all, (first_block + BLOCKS) * per_block);
  // Of this invocation's (token, block) pairs.
  var best: array<f32, 4>;
  for (var first = max(first_block * per_block, 1u) - 1u; first < end; first += KEYS) {
    first_key = first;
    var sums: array<vec4f, 4>;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      tile.head = chunk * TILE_ROWS;
      tile.heads = min(TILE_ROWS, params.group - tile.head);
      let scores = score_tile(thread);
      workgroupBarrier();
      for (var r = 0u; r < 4u; r++) {
        let row = 4u * (thread / ACROSS) + r;
        var weight = vec4f();
        if has_query(row) {
          let normaliser = normaliser_of(row);
          weight = exp2(min(scores[r] - vec4f(normaliser.x), vec4f(MOST_EXPONENT))) * normaliser.y;
        }
        staged[thread % ACROSS * TILE_ROWS + row] = weight;
      }
      workgroupBarrier();
      for (var step = 0u; step < 4u; step++) {
        let pair = step * THREADS + thread;
        if pair < tile.count * 16u {
          let origin = pair % 16u * TILE_ROWS + pair / 16u * tile.heads;
          for (var head = 0u; head < tile.heads; head++) {
            sums[step] += staged[origin + head];
          }
        }
      }
    }
    workgroupBarrier();
    for (var step = 0u; step < 4u; step++) {
      staged[step * THREADS + thread] = sums[step];
    }
    workgroupBarrier();
    for (var step = 0u; step < 4u; step++) {
      let pair = step * THREADS + thread;
      if pair < tile.count * BLOCKS {
        let token = pair / BLOCKS;
        let visible = window_count(about.y + i32(token) + 1, params.size, params.stride);
        let origin = (first_block + pair % BLOCKS) * per_block;
        let stop = min(min(visible, origin + per_block), first_key + KEYS);
        for (var window = max(max(origin, 1u) - 1u, first_key); window < stop; window++) {
          let index = window - first_key;
          best[step] = max(best[step], staged[token * 16u + index / 4u][index % 4u]);
        }
      }
    }
  }
  for (var step = 0u; step < 4u; step++) {
    let pair = step * THREADS + thread;
    if pair < tile.count * BLOCKS {
      let token = pair / BLOCKS;
      let block = first_block + pair % BLOCKS;
      let visible = window_count(about.y + i32(token) + 1, params.size, params.stride);
      if block < params.blocks && max(block * per_block, 1u) - 1u < visible {
        scored[((tile.first + token) * params.kv_heads + tile.kv_head) * params.blocks + block] = bitcast<u32>(best[step]);
      }
    }
  }
}
