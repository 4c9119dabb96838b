// Scores of a tile of queries against 64 keys, four queries by four keys an invocation.
//
// A tile has TILE_ROWS queries (tokens times heads); its invocations are 16 across the keys and TILE_ROWS / 4 down. The
// kernel says where queries and keys are:
//   fn query4(row: u32, column4: u32) -> vec4f    four numbers of a query, scaled; zeros for rows without a query
//   fn key4(key: u32, column4: u32) -> vec4f      four numbers of a key of the tile; zeros where there is none
// Both are staged 32 columns at a time. Slot numbers are mixed with the column so that neither writing nor reading meets
// the same bank of workgroup memory twice.
// uses: fma4

override TILE_ROWS: u32 = 32u;
// 0: any, in params.head_dim. Kernels made for one head_dim are faster, but every one must be compiled.
override HEAD_DIM: u32 = 0u;
override THREADS: u32 = TILE_ROWS * 4u;

const KEYS = 64u;
const ACROSS = 16u;
// Columns staged at a time, in fours.
const SLICE = 8u;

// Fours of a head.
fn fours() -> u32 {
  return select(HEAD_DIM, params.head_dim, HEAD_DIM == 0u) / 4u;
}

// Scores of one of an invocation's queries for its keys 4 * across to 4 * across + 3.
alias TileScores = array<vec4f, 4>;

// Queries at (column4, row), then keys at (column4, key).
fn query_slot(row: u32, column4: u32) -> u32 {
  return column4 * TILE_ROWS + (row ^ (column4 & 3u));
}

// Keys are ordered by their place among an invocation's four first, as they are read together.
fn key_slot(key: u32, column4: u32) -> u32 {
  return SLICE * TILE_ROWS + column4 * KEYS + (((key & 3u) * ACROSS + (key >> 2u)) ^ column4);
}

fn score_tile(thread: u32) -> TileScores {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  var scores: TileScores;
  for (var first = 0u; first < fours(); first += SLICE) {
    workgroupBarrier();
    for (var i = thread; i < TILE_ROWS * SLICE; i += THREADS) {
      let column4 = i % SLICE;
      var value = vec4f();
      if first + column4 < fours() {
        value = query4(i / SLICE, first + column4);
      }
      staged[query_slot(i / SLICE, column4)] = value;
    }
    for (var i = thread; i < KEYS * SLICE; i += THREADS) {
      let column4 = i % SLICE;
      var value = vec4f();
      if first + column4 < fours() {
        value = key4(i / SLICE, first + column4);
      }
      staged[key_slot(i / SLICE, column4)] = value;
    }
    workgroupBarrier();
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let k0 = staged[key_slot(4u * across, column4)];
      let k1 = staged[key_slot(4u * across + 1u, column4)];
      let k2 = staged[key_slot(4u * across + 2u, column4)];
      let k3 = staged[key_slot(4u * across + 3u, column4)];
      for (var r = 0u; r < 4u; r++) {
        let q = staged[query_slot(4u * down + r, column4)];
        let sum = scores[r];
        scores[r] = vec4f(fma4(q, k0, sum.x), fma4(q, k1, sum.y), fma4(q, k2, sum.z), fma4(q, k3, sum.w));
      }
    }
  }
  return scores;
}

// The largest of each of an invocation's four numbers over the invocations across. Barriers before and after are the caller's.
fn largest_across(thread: u32) -> vec4f {
  let down = thread / ACROSS;
  var largest = exchanged[down];
  for (var i = 1u; i < ACROSS; i++) {
    largest = max(largest, exchanged[i * (TILE_ROWS / 4u) + down]);
  }
  return largest;
}

// The same for sums.
fn sum_across(thread: u32) -> vec4f {
  let down = thread / ACROSS;
  var sum = exchanged[down];
  for (var i = 1u; i < ACROSS; i++) {
    sum += exchanged[i * (TILE_ROWS / 4u) + down];
  }
  return sum;
}

// Where an invocation puts its four numbers for the two functions above.
fn exchange_slot(thread: u32) -> u32 {
  return thread % ACROSS * (TILE_ROWS / 4u) + thread / ACROSS;
}

var<workgroup> exchanged: array<vec4f, TILE_ROWS * 4u>;
