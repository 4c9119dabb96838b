// Pass 2 of selection: 2^(score - LSE) of each fine window, summed over the heads of a group, and its maximum over the
// windows of each block. Workgroups: tile of tokens, KV head, run of BLOCKS blocks. Blocks that no row of the tile sees a
// window of are not written: `select-blocks` knows their score.
// uses: <cache> window-tile

@group(0) @binding(5) var<storage, read> normal: array<vec2f>;
// [rows, kv_heads, blocks]: bits of the scores.
@group(0) @binding(6) var<storage, read_write> scored: array<u32>;

// Blocks that a workgroup scores; with 4 windows a block, 15 and the window before them are 61 of a tile's 64 keys.
override BLOCKS: u32 = 15u;
override STAGED: u32 = max(TILE_STAGED, TILE_ROWS * 16u);

// Larger scores tie, as the contract allows; their sum over a group stays finite.
const MOST_EXPONENT = 121.0;

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

// 2^(score - LSE) of an invocation's scores; 0 for rows without a query.
fn normalised(scores: mat4x4f, down: u32) -> mat4x4f {
  return mat4x4f(
    normalised4(scores[0], row_of(down, 0u)),
    normalised4(scores[1], row_of(down, 1u)),
    normalised4(scores[2], row_of(down, 2u)),
    normalised4(scores[3], row_of(down, 3u)),
  );
}

fn normalised4(scores: vec4f, row: u32) -> vec4f {
  if !has_query(row) {
    return vec4f();
  }
  let normaliser = normaliser_of(row);
  return exp2(min(scores - vec4f(normaliser.x), vec4f(MOST_EXPONENT))) * normaliser.y;
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
  // Of this invocation's (token, block) pairs; a tile has at most 4 * THREADS.
  var best: array<f32, 4>;
  for (var first = max(first_block * per_block, 1u) - 1u; first < end; first += KEYS) {
    workgroupBarrier();
    place_keys(thread, first, 0u);
    // Of this invocation's (token, four windows) pairs.
    var sums: array<vec4f, 4>;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      tile.head = chunk * TILE_ROWS;
      tile.heads = min(TILE_ROWS, params.group - tile.head);
      place_queries(thread);
      let scores = score_tile(thread, 0u);
      workgroupBarrier();
      stage_numbers(thread, normalised(scores, thread / ACROSS));
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
        let stop = min(min(visible, origin + per_block), first + KEYS);
        for (var window = max(max(origin, 1u) - 1u, first); window < stop; window++) {
          let index = window - first;
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
