// Scores of a tile of queries against 64 keys, four queries by four keys an invocation.
//
// A tile has TILE_ROWS queries (tokens times heads); its invocations are 16 across the keys and TILE_ROWS / 4 down. What an
// invocation keeps of its queries is spelled out: arrays that loops index may end in memory instead of registers. The
// kernel says where queries and keys are, in fours of the buffers; negative where there is none:
//   fn query_place(row: u32) -> i32    asked once a tile of queries (`place_queries`)
//   fn key_place(key: u32, slot: u32) -> i32    asked once a tile of keys (`place_keys`), for one of two slots
//   fn query4(at: u32) -> vec4f        four numbers of a query, scaled
//   fn key4(at: u32) -> vec4f          four numbers of a key
// Both are staged SLICE * 4 columns at a time, four or eight loads of an invocation under way at once: one after the other,
// their latencies were most of the time on an H100. Rows of workgroup memory are one longer than they must be, so that neither
// writing nor reading meets the same bank twice.
// uses: fma4

override TILE_ROWS: u32 = 32u;
// 0: any, in params.head_dim. Kernels made for one head_dim are faster, but every one must be compiled.
override HEAD_DIM: u32 = 0u;
override THREADS: u32 = TILE_ROWS * 4u;
override DOWN: u32 = TILE_ROWS / 4u;
// Loads of an invocation under way at once: 4, or 8 where workgroups are small and each has many to do; 1 where a CPU stands
// in for the GPU, which has nothing to wait for and compiles less.
override LOADS: u32 = 4u;
// Columns staged at a time, in fours.
override SLICE: u32 = 8u;
override QUERY_PITCH: u32 = TILE_ROWS + 1u;
// What score_tile needs of `staged`.
override TILE_STAGED: u32 = SLICE * (TILE_ROWS + 66u);

const KEYS = 64u;
const ACROSS = 16u;
const KEY_PITCH = 65u;

var<workgroup> query_places: array<i32, TILE_ROWS>;
// Of the tile that is worked on and of the next.
var<workgroup> key_places: array<i32, 2u * KEYS>;
var<workgroup> exchanged: array<vec4f, TILE_ROWS * 4u>;

// Fours of a head.
fn fours() -> u32 {
  return select(HEAD_DIM, params.head_dim, HEAD_DIM == 0u) / 4u;
}

// The `r`th of an invocation's four queries.
fn row_of(down: u32, r: u32) -> u32 {
  return down + r * DOWN;
}

fn place_queries(thread: u32) {
  workgroupBarrier();
  for (var row = thread; row < TILE_ROWS; row += THREADS) {
    query_places[row] = query_place(row);
  }
}

// Finds the keys of a tile that begins with key `first`. A barrier must come before their use.
fn place_keys(thread: u32, first: u32, slot: u32) {
  for (var key = thread; key < KEYS; key += THREADS) {
    key_places[slot * KEYS + key] = key_place(first + key, slot * KEYS + key);
  }
}

// Item i of a slice: its column4 is i % SLICE. Items past the last repeat it.
fn query_item(i: u32, first: u32) -> vec4f {
  let item = min(i, TILE_ROWS * SLICE - 1u);
  let place = query_places[item / SLICE];
  let column4 = first + item % SLICE;
  let value = query4(u32(max(place, 0)) + min(column4, fours() - 1u));
  return select(vec4f(), value, place >= 0 && column4 < fours());
}

fn key_item(i: u32, first: u32, slot: u32) -> vec4f {
  let item = min(i, KEYS * SLICE - 1u);
  let place = key_places[slot * KEYS + item / SLICE];
  let column4 = first + item % SLICE;
  let value = key4(u32(max(place, 0)) + min(column4, fours() - 1u));
  return select(vec4f(), value, place >= 0 && column4 < fours());
}

fn stage_query(i: u32, value: vec4f) {
  if i < TILE_ROWS * SLICE {
    staged[i % SLICE * QUERY_PITCH + i / SLICE] = value;
  }
}

// Keys are ordered by their place among an invocation's four first, as they are read together.
fn stage_key(i: u32, value: vec4f) {
  if i < KEYS * SLICE {
    let key = i / SLICE;
    staged[SLICE * QUERY_PITCH + i % SLICE * KEY_PITCH + (key & 3u) * ACROSS + (key >> 2u)] = value;
  }
}

// Four items, THREADS apart.
fn query_items(i: u32, first: u32) -> mat4x4f {
  return mat4x4f(query_item(i, first), query_item(i + THREADS, first), query_item(i + 2u * THREADS, first), query_item(i + 3u * THREADS, first));
}

fn key_items(i: u32, first: u32, slot: u32) -> mat4x4f {
  return mat4x4f(
    key_item(i, first, slot), key_item(i + THREADS, first, slot), key_item(i + 2u * THREADS, first, slot), key_item(i + 3u * THREADS, first, slot),
  );
}

fn stage_queries(thread: u32, first: u32) {
  if LOADS == 1u {
    for (var i = thread; i < TILE_ROWS * SLICE; i += THREADS) {
      stage_query(i, query_item(i, first));
    }
    return;
  }
  for (var i = thread; i < TILE_ROWS * SLICE; i += 4u * THREADS) {
    let items = query_items(i, first);
    stage_query(i, items[0]);
    stage_query(i + THREADS, items[1]);
    stage_query(i + 2u * THREADS, items[2]);
    stage_query(i + 3u * THREADS, items[3]);
  }
}

fn stage_keys(thread: u32, first: u32, slot: u32) {
  if LOADS == 1u {
    for (var i = thread; i < KEYS * SLICE; i += THREADS) {
      stage_key(i, key_item(i, first, slot));
    }
    return;
  }
  for (var i = thread; i < KEYS * SLICE; i += LOADS * THREADS) {
    let items = key_items(i, first, slot);
    var more: mat4x4f;
    if LOADS == 8u {
      more = key_items(i + 4u * THREADS, first, slot);
    }
    stage_four_keys(i, items);
    if LOADS == 8u {
      stage_four_keys(i + 4u * THREADS, more);
    }
  }
}

fn stage_four_keys(i: u32, items: mat4x4f) {
  stage_key(i, items[0]);
  stage_key(i + THREADS, items[1]);
  stage_key(i + 2u * THREADS, items[2]);
  stage_key(i + 3u * THREADS, items[3]);
}

// `sums` and the products of four staged queries with four keys.
fn with_products(at: u32, k: mat4x4f, sums: mat4x4f) -> mat4x4f {
  return mat4x4f(
    products(staged[at], k, sums[0]),
    products(staged[at + DOWN], k, sums[1]),
    products(staged[at + 2u * DOWN], k, sums[2]),
    products(staged[at + 3u * DOWN], k, sums[3]),
  );
}

fn products(q: vec4f, k: mat4x4f, sums: vec4f) -> vec4f {
  return vec4f(fma4(q, k[0], sums.x), fma4(q, k[1], sums.y), fma4(q, k[2], sums.z), fma4(q, k[3], sums.w));
}

// Scores of an invocation's queries, a column each, for the keys 4 * across to 4 * across + 3 of those in a slot. Ends with
// all of `staged` in use.
fn score_tile(thread: u32, slot: u32) -> mat4x4f {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  var scores: mat4x4f;
  for (var first = 0u; first < fours(); first += SLICE) {
    workgroupBarrier();
    stage_queries(thread, first);
    stage_keys(thread, first, slot);
    workgroupBarrier();
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let at = SLICE * QUERY_PITCH + column4 * KEY_PITCH + across;
      let k = mat4x4f(staged[at], staged[at + ACROSS], staged[at + 2u * ACROSS], staged[at + 3u * ACROSS]);
      scores = with_products(column4 * QUERY_PITCH + down, k, scores);
    }
  }
  return scores;
}

// The largest of each query's numbers over the invocations across. Barriers around it are its own.
fn largest_across(thread: u32, own: vec4f) -> vec4f {
  exchange(thread, own);
  var largest = own;
  for (var i = 0u; i < ACROSS; i++) {
    largest = max(largest, exchanged[i * DOWN + thread / ACROSS]);
  }
  return largest;
}

// The same for sums.
fn sum_across(thread: u32, own: vec4f) -> vec4f {
  exchange(thread, own);
  var sum: vec4f;
  for (var i = 0u; i < ACROSS; i++) {
    sum += exchanged[i * DOWN + thread / ACROSS];
  }
  return sum;
}

// [across, down]
fn exchange(thread: u32, own: vec4f) {
  workgroupBarrier();
  exchanged[thread % ACROSS * DOWN + thread / ACROSS] = own;
  workgroupBarrier();
}

// The largest score of each query.
fn most_of(scores: mat4x4f) -> vec4f {
  let by_key = transpose(scores);
  return max(max(by_key[0], by_key[1]), max(by_key[2], by_key[3]));
}

// The sum over each query's four numbers.
fn sum_of(numbers: mat4x4f) -> vec4f {
  let by_key = transpose(numbers);
  return by_key[0] + by_key[1] + by_key[2] + by_key[3];
}

// 2^(score - most) of each score that is above `lowest`, else 0.
fn weights_of(scores: mat4x4f, most: vec4f, lowest: f32) -> mat4x4f {
  return mat4x4f(
    weight4_of(scores[0], most[0], lowest),
    weight4_of(scores[1], most[1], lowest),
    weight4_of(scores[2], most[2], lowest),
    weight4_of(scores[3], most[3], lowest),
  );
}

fn weight4_of(scores: vec4f, most: f32, lowest: f32) -> vec4f {
  return select(vec4f(), exp2(scores - vec4f(most)), scores > vec4f(lowest));
}

// Puts an invocation's numbers where the whole tile finds them: [key / 4, row] in `staged`.
fn stage_numbers(thread: u32, numbers: mat4x4f) {
  let at = thread % ACROSS * TILE_ROWS + thread / ACROSS;
  staged[at] = numbers[0];
  staged[at + DOWN] = numbers[1];
  staged[at + 2u * DOWN] = numbers[2];
  staged[at + 3u * DOWN] = numbers[3];
}
