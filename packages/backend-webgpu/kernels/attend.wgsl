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
override STAGED: u32 = max(TILE_ROWS * 8u + 512u, TILE_ROWS * 16u + VALUE_KEYS * 16u * STEPS);

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

// The sequence's first entry of the page table, its cached tokens, the tile's list of blocks, the first key of the tile.
var<private> pages: u32;
var<private> cached: i32;
var<private> list: u32;
var<private> first_key: u32;

// The token that key `index` of the tile is; negative where there is none.
fn token_at(index: u32) -> i32 {
  let key = first_key + index;
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

// Where the numbers of a token begin, in fours; negative where it is not cached.
fn place_of(token: i32) -> i32 {
  if token < 0 || token >= cached {
    return -1;
  }
  let block = u32(token) / params.block_size;
  let slot = u32(token) % params.block_size;
  let page = u32(page_table[pages + block]);
  return i32(((page * params.kv_heads + tile.kv_head) * params.block_size + slot) * fours());
}

fn query4(row: u32, column4: u32) -> vec4f {
  if !has_query(row) {
    return vec4f();
  }
  let at = params.q_start4 + token_of(row) * params.q_stride4 + head_of(row) * fours() + column4;
  return params.scale * vec4f(q[at]);
}

fn key4(key: u32, column4: u32) -> vec4f {
  let place = place_of(token_at(key));
  if place < 0 {
    return vec4f();
  }
  return from_cache(keys[u32(place) + column4]);
}

fn weighted(w: vec4f, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f, sum: vec4f) -> vec4f {
  return fma(vec4f(w.w), v3, fma(vec4f(w.z), v2, fma(vec4f(w.y), v1, fma(vec4f(w.x), v0, sum))));
}

fn weight_slot(row: u32, key4: u32) -> u32 {
  return key4 * TILE_ROWS + (row ^ (key4 & 3u));
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

  // Positions of the invocation's four queries; -1: none.
  var position = vec4i(-1);
  for (var r = 0u; r < 4u; r++) {
    if has_query(4u * down + r) {
      position[r] = about.y + i32(token_of(4u * down + r) - tile.first);
    }
  }
  var largest = vec4f(LOWEST);
  var sum = vec4f();
  var result: array<array<vec4f, 4>, 4>;

  for (var at = part * share; at < min(tiles, (part + 1u) * share); at++) {
    first_key = at * KEYS;
    var scores = score_tile(thread);

    let tokens4 = vec4i(token_at(4u * across), token_at(4u * across + 1u), token_at(4u * across + 2u), token_at(4u * across + 3u));
    var seen: array<vec4<bool>, 4>;
    var most = vec4f(LOWEST);
    for (var r = 0u; r < 4u; r++) {
      seen[r] = (tokens4 >= vec4i(0)) & (tokens4 <= vec4i(position[r]));
      scores[r] = select(vec4f(LOWEST), scores[r], seen[r]);
      most[r] = max(max(scores[r].x, scores[r].y), max(scores[r].z, scores[r].w));
    }
    exchanged[exchange_slot(thread)] = most;
    workgroupBarrier();
    most = max(largest, largest_across(thread));
    let fade = exp2(largest - most);
    largest = most;
    sum *= fade;
    for (var r = 0u; r < 4u; r++) {
      let weight = select(vec4f(), exp2(scores[r] - vec4f(most[r])), seen[r]);
      sum[r] += weight.x + weight.y + weight.z + weight.w;
      staged[weight_slot(4u * down + r, across)] = weight;
      for (var step = 0u; step < STEPS; step++) {
        result[r][step] *= fade[r];
      }
    }

    for (var first = 0u; first < params.keys; first += VALUE_KEYS) {
      workgroupBarrier();
      for (var i = thread; i < VALUE_KEYS * fours(); i += THREADS) {
        let place = place_of(token_at(first + i / fours()));
        var value = vec4f();
        if place >= 0 {
          value = from_cache(values[u32(place) + i % fours()]);
        }
        staged[TILE_ROWS * 16u + i] = value;
      }
      workgroupBarrier();
      for (var key = 0u; key < VALUE_KEYS; key += 4u) {
        let w0 = staged[weight_slot(4u * down, (first + key) / 4u)];
        let w1 = staged[weight_slot(4u * down + 1u, (first + key) / 4u)];
        let w2 = staged[weight_slot(4u * down + 2u, (first + key) / 4u)];
        let w3 = staged[weight_slot(4u * down + 3u, (first + key) / 4u)];
        for (var step = 0u; step < STEPS; step++) {
          let column4 = across + 16u * step;
          if column4 < fours() {
            let origin = TILE_ROWS * 16u + key * fours() + column4;
            let v0 = staged[origin];
            let v1 = staged[origin + fours()];
            let v2 = staged[origin + 2u * fours()];
            let v3 = staged[origin + 3u * fours()];
            result[0][step] = weighted(w0, v0, v1, v2, v3, result[0][step]);
            result[1][step] = weighted(w1, v0, v1, v2, v3, result[1][step]);
            result[2][step] = weighted(w2, v0, v1, v2, v3, result[2][step]);
            result[3][step] = weighted(w3, v0, v1, v2, v3, result[3][step]);
          }
        }
      }
    }
  }

  workgroupBarrier();
  exchanged[exchange_slot(thread)] = sum;
  workgroupBarrier();
  sum = sum_across(thread);
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    let row = 4u * down + r;
    if has_query(row) {
      let index = (token_of(row) * params.heads + head_of(row)) * params.parts + part;
      for (var step = 0u; step < STEPS; step++) {
        let column4 = across + 16u * step;
        if column4 < fours() {
          if params.parts == 1u {
            let to = params.out_start4 + token_of(row) * params.out_stride4 + head_of(row) * fours() + column4;
            out[to] = Element4(result[r][step] / sum[r]);
          } else {
            partial[index * (fours() + 1u) + column4] = result[r][step];
          }
        }
      }
      if params.parts > 1u && across == 0u {
        partial[index * (fours() + 1u) + fours()] = vec4f(largest[r], sum[r], 0.0, 0.0);
      }
    }
  }
}
