// Softmax attention of a tile of queries over all keys up to their positions (dense), or over the tokens of chosen blocks
// (sparse: the tile then has one token). Keys and values pass 64 at a time; maxima and sums are kept as they go.
//
// Workgroups: tile, KV head, part. With several parts each takes a share of the keys, and writes what `attend-combine` puts
// together: sums of values, not yet divided, then the largest score and the sum of weights.
// uses: <cache> score-tile query-tile

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
  // 0: dense.
  budget: u32,
  capacity: u32,
  parts: u32,
  q_start4: u32,
  q_stride4: u32,
  out_start4: u32,
  out_stride4: u32,
  chosen_start: u32,
  pages_start: u32,
  pages_stride: u32,
  // 1 / sqrt(head_dim) / ln 2
  scale: f32,
  // KEYS. Compilers that do not know it leave the longest loop as it is, which makes no kernel slower and, where kernels
  // are compiled for a CPU, saves most of the seconds that this takes.
  keys: u32,
}

// Fours of the head that each of the 16 invocations across has, at most 4.
override STEPS: u32 = (HEAD_DIM + 63u) / 64u;
// Values staged at a time.
override VALUE_KEYS: u32 = 8u;
override STAGED: u32 = max(TILE_STAGED, TILE_ROWS * 16u + VALUE_KEYS * 16u * STEPS);

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Element4>;
@group(0) @binding(2) var<storage, read> rows: array<vec4i>;
@group(0) @binding(3) var<storage, read> page_table: array<i32>;
@group(0) @binding(4) var<storage, read> chosen: array<i32>;
@group(0) @binding(5) var<storage, read> keys: array<CacheVector>;
@group(0) @binding(6) var<storage, read> values: array<CacheVector>;
@group(0) @binding(7) var<storage, read_write> out: array<Element4>;
@group(0) @binding(8) var<storage, read_write> partial: array<vec4f>;

var<workgroup> staged: array<vec4f, STAGED>;

const LOWEST = -1e30;

// The sequence's first entry of the page table, its cached tokens, the tile's list of blocks.
var<private> pages: u32;
var<private> cached: i32;
var<private> list: u32;

// The tokens that the tile's keys are, for queries to tell which they may see; -1: none.
var<workgroup> key_tokens: array<i32, 2u * KEYS>;

fn token_at(key: u32) -> i32 {
  if params.budget == 0u {
    return i32(key);
  }
  let entry = key / params.block_size;
  if entry >= params.budget {
    return -1;
  }
  let block = chosen[list + entry];
  return select(block * i32(params.block_size) + i32(key % params.block_size), -1, block < 0);
}

fn key_place(key: u32, at: u32) -> i32 {
  let token = token_at(key);
  key_tokens[at] = token;
  if token < 0 || token >= cached {
    return -1;
  }
  let page = u32(page_table[pages + u32(token) / params.block_size]);
  return i32(((page * params.kv_heads + tile.kv_head) * params.block_size + u32(token) % params.block_size) * fours());
}

fn query_place(row: u32) -> i32 {
  if !has_query(row) {
    return -1;
  }
  return i32(params.q_start4 + token_of(row) * params.q_stride4 + head_of(row) * fours());
}

fn query4(at: u32) -> vec4f {
  return params.scale * vec4f(q[at]);
}

fn key4(at: u32) -> vec4f {
  return from_cache(keys[at]);
}

// Item i of the values of the keys from `first` in `key_places` on: its column4 is i % fours().
fn value_item(i: u32, first: u32) -> vec4f {
  let item = min(i, VALUE_KEYS * fours() - 1u);
  let place = key_places[first + item / fours()];
  return select(vec4f(), from_cache(values[u32(max(place, 0)) + item % fours()]), place >= 0);
}

fn stage_value(i: u32, value: vec4f) {
  if i < VALUE_KEYS * fours() {
    staged[TILE_ROWS * 16u + i] = value;
  }
}

// Four items, THREADS apart.
fn value_items(i: u32, first: u32) -> mat4x4f {
  return mat4x4f(value_item(i, first), value_item(i + THREADS, first), value_item(i + 2u * THREADS, first), value_item(i + 3u * THREADS, first));
}

fn stage_values(thread: u32, first: u32) {
  if LOADS == 1u {
    for (var i = thread; i < VALUE_KEYS * fours(); i += THREADS) {
      stage_value(i, value_item(i, first));
    }
    return;
  }
  for (var i = thread; i < VALUE_KEYS * fours(); i += LOADS * THREADS) {
    let items = value_items(i, first);
    var more: mat4x4f;
    if LOADS == 8u {
      more = value_items(i + 4u * THREADS, first);
    }
    stage_four_values(i, items);
    if LOADS == 8u {
      stage_four_values(i + 4u * THREADS, more);
    }
  }
}

fn stage_four_values(i: u32, items: mat4x4f) {
  stage_value(i, items[0]);
  stage_value(i + THREADS, items[1]);
  stage_value(i + 2u * THREADS, items[2]);
  stage_value(i + 3u * THREADS, items[3]);
}

// Four columns of four neighbouring keys' values, from staged.
fn four_values(at: u32, column4: u32) -> mat4x4f {
  if HEAD_DIM == 0u && column4 >= fours() {
    return mat4x4f();
  }
  return mat4x4f(staged[at], staged[at + fours()], staged[at + 2u * fours()], staged[at + 3u * fours()]);
}

// Weights of four queries for four neighbouring keys, a column each.
fn four_weights(at: u32) -> mat4x4f {
  return mat4x4f(staged[at], staged[at + DOWN], staged[at + 2u * DOWN], staged[at + 3u * DOWN]);
}

fn weighted(w: mat4x4f, v: mat4x4f, sums: mat4x4f) -> mat4x4f {
  return mat4x4f(mixed(w[0], v, sums[0]), mixed(w[1], v, sums[1]), mixed(w[2], v, sums[2]), mixed(w[3], v, sums[3]));
}

fn mixed(w: vec4f, v: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(w.w), v[3], fma(vec4f(w.z), v[2], fma(vec4f(w.y), v[1], fma(vec4f(w.x), v[0], sum))));
}

fn faded(result: mat4x4f, fade: vec4f) -> mat4x4f {
  return mat4x4f(result[0] * fade[0], result[1] * fade[1], result[2] * fade[2], result[3] * fade[3]);
}

// Positions of an invocation's queries; -1: none.
fn positions(first: i32, down: u32) -> vec4i {
  let row = vec4u(row_of(down, 0u), row_of(down, 1u), row_of(down, 2u), row_of(down, 3u));
  return select(vec4i(-1), vec4i(first) + vec4i(row / tile.heads), row < vec4u(tile.count * tile.heads));
}

// Scores of keys that a query sees; the others' become the lowest.
fn masked(scores: mat4x4f, tokens: vec4i, position: vec4i) -> mat4x4f {
  return mat4x4f(
    seen(scores[0], tokens, position[0]),
    seen(scores[1], tokens, position[1]),
    seen(scores[2], tokens, position[2]),
    seen(scores[3], tokens, position[3]),
  );
}

fn seen(scores: vec4f, tokens: vec4i, position: i32) -> vec4f {
  return select(vec4f(LOWEST), scores, (tokens >= vec4i(0)) & (tokens <= vec4i(position)));
}

// Writes a step's columns of an invocation's queries, or of the part of them that these keys give.
fn finish(thread: u32, part: u32, step: u32, result: mat4x4f, largest: vec4f, sum: vec4f) {
  let column4 = thread % ACROSS + 16u * step;
  if column4 >= fours() {
    return;
  }
  for (var i = 0u; i < 4u; i++) {
    let row = row_of(thread / ACROSS, i);
    if has_query(row) {
      if params.parts == 1u {
        out[params.out_start4 + token_of(row) * params.out_stride4 + head_of(row) * fours() + column4] = Element4(result[i] / sum[i]);
      } else {
        let to = ((token_of(row) * params.heads + head_of(row)) * params.parts + part) * (fours() + 1u);
        partial[to + column4] = result[i];
        if column4 == 0u {
          partial[to + fours()] = vec4f(largest[i], sum[i], 0.0, 0.0);
        }
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  var here = tile_at(group.x, group.y, params.rows);
  let end = here.first + here.count;
  // A tile's rows may be of several sequences: each is a tile of its own, smaller one.
  while here.first < end {
    let about = rows[params.first_row + here.first];
    var next = here.first + 1u;
    while next < end && rows[params.first_row + next].x == about.x {
      next++;
    }
    here.count = next - here.first;
    tile = here;
    if about.x >= 0 {
      attend(about, rows[params.first_row + next - 1u].y, group.z, thread);
    }
    here.first = next;
  }
}

// The tile's rows, of one sequence; the last at position `last`.
fn attend(about: vec4i, last: i32, part: u32, thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  pages = params.pages_start + u32(about.x) * params.pages_stride;
  cached = about.z;
  list = params.chosen_start + (tile.kv_head * params.capacity + params.first_row + tile.first) * params.budget;
  var tokens = u32(last) + 1u;
  if params.budget != 0u {
    tokens = min(params.budget, u32(last) / params.block_size + 1u) * params.block_size;
  }
  let tiles = (tokens + KEYS - 1u) / KEYS;
  let share = (tiles + params.parts - 1u) / params.parts;

  let position = positions(about.y, down);
  var largest = vec4f(LOWEST);
  var sum: vec4f;
  // Of each query, a column, fours of the head across, across + 16, …
  var result0: mat4x4f;
  var result1: mat4x4f;
  var result2: mat4x4f;
  var result3: mat4x4f;
  place_queries(thread);
  place_keys(thread, part * share * KEYS, 0u);
  var slot = 0u;

  for (var at = part * share; at < min(tiles, (part + 1u) * share); at++) {
    var scores = score_tile(thread, slot);
    place_keys(thread, (at + 1u) * KEYS, 1u - slot);

    let own = slot * KEYS + 4u * across;
    let tokens = vec4i(key_tokens[own], key_tokens[own + 1u], key_tokens[own + 2u], key_tokens[own + 3u]);
    scores = masked(scores, tokens, position);
    let most = largest_across(thread, max(largest, most_of(scores)));
    // A query that has seen nothing yet has weights of 0.
    let weights = weights_of(scores, most, LOWEST);
    stage_numbers(thread, weights);
    let fade = exp2(largest - most);
    sum = sum * fade + sum_of(weights);
    largest = most;
    result0 = faded(result0, fade);
    if STEPS > 1u {
      result1 = faded(result1, fade);
    }
    if STEPS > 2u {
      result2 = faded(result2, fade);
      result3 = faded(result3, fade);
    }

    for (var first = 0u; first < params.keys; first += VALUE_KEYS) {
      workgroupBarrier();
      stage_values(thread, slot * KEYS + first);
      workgroupBarrier();
      for (var key = 0u; key < VALUE_KEYS; key += 4u) {
        let origin = TILE_ROWS * 16u + key * fours() + across;
        let w = four_weights((first + key) / 4u * TILE_ROWS + down);
        result0 = weighted(w, four_values(origin, across), result0);
        if STEPS > 1u {
          result1 = weighted(w, four_values(origin + 16u, across + 16u), result1);
        }
        if STEPS > 2u {
          result2 = weighted(w, four_values(origin + 32u, across + 32u), result2);
          result3 = weighted(w, four_values(origin + 48u, across + 48u), result3);
        }
      }
    }
    slot = 1u - slot;
  }

  sum = sum_across(thread, sum);
  finish(thread, part, 0u, result0, largest, sum);
  if STEPS > 1u {
    finish(thread, part, 1u, result1, largest, sum);
  }
  if STEPS > 2u {
    finish(thread, part, 2u, result2, largest, sum);
    finish(thread, part, 3u, result3, largest, sum);
  }
}
