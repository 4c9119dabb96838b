// Pass 1 of selection: for each query the largest score over the windows it sees of the level that normalises, and the sum
// of 2^(score - largest); 0 where it sees none. Workgroups: tile, KV head, part of the windows.
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
  // Parts that the windows are cut into.
  parts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Element4>;
@group(0) @binding(2) var<storage, read> rows: array<vec4i>;
@group(0) @binding(3) var<storage, read> page_table: array<i32>;
@group(0) @binding(4) var<storage, read> keys: array<CacheVector>;
// [rows, heads, parts]
@group(0) @binding(5) var<storage, read_write> normal: array<vec2f>;

override STAGED: u32 = TILE_ROWS * 8u + 512u;
var<workgroup> staged: array<vec4f, STAGED>;

const LOWEST = -1e30;

var<private> pages: u32;
var<private> windows: u32;
var<private> first_key: u32;

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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  var here = tile_at(group.x, group.y, params.rows);
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
      normalise(about, rows[params.first_row + next - 1u].y, group.z, thread);
    }
    here.first = next;
  }
}

fn normalise(about: vec4i, last: i32, part: u32, thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  pages = params.pages_start + u32(about.x) * params.pages_stride;
  let all = window_count(last + 1, params.size, params.stride);
  let share = (all + params.parts * KEYS - 1u) / (params.parts * KEYS) * KEYS;
  let end = min(all, (part + 1u) * share);
  windows = all;
  // Windows that each of the invocation's queries sees.
  var visible = vec4u();
  for (var r = 0u; r < 4u; r++) {
    if has_query(4u * down + r) {
      visible[r] = window_count(about.y + i32(token_of(4u * down + r) - tile.first) + 1, params.size, params.stride);
    }
  }
  var largest = vec4f(LOWEST);
  var sum = vec4f();
  for (var first = part * share; first < end; first += KEYS) {
    first_key = first;
    let scores = score_tile(thread);
    let window = vec4u(first + 4u * across) + vec4u(0u, 1u, 2u, 3u);
    for (var r = 0u; r < 4u; r++) {
      let seen = window < vec4u(visible[r]);
      let masked = select(vec4f(LOWEST), scores[r], seen);
      let most = max(largest[r], max(max(masked.x, masked.y), max(masked.z, masked.w)));
      let terms = select(vec4f(), exp2(masked - vec4f(most)), seen);
      sum[r] = sum[r] * exp2(largest[r] - most) + terms.x + terms.y + terms.z + terms.w;
      largest[r] = most;
    }
  }
  workgroupBarrier();
  exchanged[exchange_slot(thread)] = largest;
  workgroupBarrier();
  let most = largest_across(thread);
  workgroupBarrier();
  exchanged[exchange_slot(thread)] = sum * exp2(largest - most);
  workgroupBarrier();
  let total = sum_across(thread);
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    if across == 0u && has_query(4u * down + r) {
      let to = (token_of(4u * down + r) * params.heads + head_of(4u * down + r)) * params.parts + part;
      normal[to] = vec2f(most[r], total[r]);
    }
  }
}
