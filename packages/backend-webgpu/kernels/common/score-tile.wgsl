// Scores of a tile of queries against 64 keys, one or two quads an invocation: a quad is four queries by four keys.
//
// A tile has TILE_ROWS queries (tokens times heads); its invocations are 16 across the keys and TILE_ROWS / (4 * QUADS)
// down. What an invocation keeps is spelled out quad by quad: arrays that loops index may end in memory instead of registers,
// which made attention four times slower on an H100. The
// kernel says where queries and keys are, in fours of the buffers; negative where there is none:
//   fn query_place(row: u32) -> i32    asked once a tile of queries (`place_queries`)
//   fn key_place(key: u32, slot: u32) -> i32    asked once a tile of keys (`place_keys`), for one of two slots
//   fn query4(at: u32) -> vec4f        four numbers of a query, scaled
//   fn key4(at: u32) -> vec4f          four numbers of a key
// Both are staged SLICE * 4 columns at a time, four loads of an invocation under way at once: one after the other, their
// latencies were most of the time on an H100. Rows of workgroup memory are one longer than they must be, so that neither
// writing nor reading meets the same bank twice.
// uses: fma4

override TILE_ROWS: u32 = 32u;
// 0: any, in params.head_dim. Kernels made for one head_dim are faster, but every one must be compiled.
override HEAD_DIM: u32 = 0u;
// 1 or 2.
override QUADS: u32 = 1u;
override THREADS: u32 = TILE_ROWS * 4u / QUADS;
override DOWN: u32 = TILE_ROWS / 4u / QUADS;
// Columns staged at a time, in fours.
override SLICE: u32 = 8u;
override QUERY_PITCH: u32 = TILE_ROWS + 1u;
// What score_tile needs of `staged`.
override TILE_STAGED: u32 = SLICE * (TILE_ROWS + 66u);

const KEYS = 64u;
const ACROSS = 16u;
const KEY_PITCH = 65u;

// Scores of an invocation's queries, a column each, for its keys 4 * across to 4 * across + 3.
struct TileScores {
  a: mat4x4f,
  b: mat4x4f,
}

// A number for each of an invocation's queries.
struct RowNumbers {
  a: vec4f,
  b: vec4f,
}

var<workgroup> query_places: array<i32, TILE_ROWS>;
// Of the tile that is worked on and of the next.
var<workgroup> key_places: array<i32, 2u * KEYS>;
var<workgroup> exchanged: array<vec4f, TILE_ROWS * 4u>;

// Fours of a head.
fn fours() -> u32 {
  return select(HEAD_DIM, params.head_dim, HEAD_DIM == 0u) / 4u;
}

// The `r`th of an invocation's queries; those of its second quad are 4 to 7.
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

// `sums` and the products of four staged queries with four keys.
fn quad_products(at: u32, k: mat4x4f, sums: mat4x4f) -> mat4x4f {
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

// Of the keys in a slot. Ends with all of `staged` in use.
fn score_tile(thread: u32, slot: u32) -> TileScores {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  var scores: TileScores;
  for (var first = 0u; first < fours(); first += SLICE) {
    workgroupBarrier();
    for (var i = thread; i < TILE_ROWS * SLICE; i += 4u * THREADS) {
      let q0 = query_item(i, first);
      let q1 = query_item(i + THREADS, first);
      let q2 = query_item(i + 2u * THREADS, first);
      let q3 = query_item(i + 3u * THREADS, first);
      stage_query(i, q0);
      stage_query(i + THREADS, q1);
      stage_query(i + 2u * THREADS, q2);
      stage_query(i + 3u * THREADS, q3);
    }
    for (var i = thread; i < KEYS * SLICE; i += 4u * THREADS) {
      let k0 = key_item(i, first, slot);
      let k1 = key_item(i + THREADS, first, slot);
      let k2 = key_item(i + 2u * THREADS, first, slot);
      let k3 = key_item(i + 3u * THREADS, first, slot);
      stage_key(i, k0);
      stage_key(i + THREADS, k1);
      stage_key(i + 2u * THREADS, k2);
      stage_key(i + 3u * THREADS, k3);
    }
    workgroupBarrier();
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let at = SLICE * QUERY_PITCH + column4 * KEY_PITCH + across;
      let k = mat4x4f(staged[at], staged[at + ACROSS], staged[at + 2u * ACROSS], staged[at + 3u * ACROSS]);
      scores.a = quad_products(column4 * QUERY_PITCH + row_of(down, 0u), k, scores.a);
      if QUADS > 1u {
        scores.b = quad_products(column4 * QUERY_PITCH + row_of(down, 4u), k, scores.b);
      }
    }
  }
  return scores;
}

// The largest of each query's numbers over the invocations across. Barriers around it are its own.
fn largest_across(thread: u32, own: RowNumbers) -> RowNumbers {
  exchange(thread, own);
  var numbers = own;
  for (var i = 0u; i < ACROSS; i++) {
    numbers.a = max(numbers.a, exchanged[i * DOWN + thread / ACROSS]);
    if QUADS > 1u {
      numbers.b = max(numbers.b, exchanged[(ACROSS + i) * DOWN + thread / ACROSS]);
    }
  }
  return numbers;
}

// The same for sums.
fn sum_across(thread: u32, own: RowNumbers) -> RowNumbers {
  exchange(thread, own);
  var numbers: RowNumbers;
  for (var i = 0u; i < ACROSS; i++) {
    numbers.a += exchanged[i * DOWN + thread / ACROSS];
    if QUADS > 1u {
      numbers.b += exchanged[(ACROSS + i) * DOWN + thread / ACROSS];
    }
  }
  return numbers;
}

// [quad, across, down]
fn exchange(thread: u32, own: RowNumbers) {
  workgroupBarrier();
  exchanged[thread % ACROSS * DOWN + thread / ACROSS] = own.a;
  if QUADS > 1u {
    exchanged[(ACROSS + thread % ACROSS) * DOWN + thread / ACROSS] = own.b;
  }
  workgroupBarrier();
}

// The largest score of each of a quad's queries.
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

// Puts a quad's numbers, beginning with query `r`, where the whole tile finds them: [key / 4, row] in `staged`.
fn stage_quad(thread: u32, r: u32, numbers: mat4x4f) {
  let at = thread % ACROSS * TILE_ROWS + row_of(thread / ACROSS, r);
  staged[at] = numbers[0];
  staged[at + DOWN] = numbers[1];
  staged[at + 2u * DOWN] = numbers[2];
  staged[at + 3u * DOWN] = numbers[3];
}
