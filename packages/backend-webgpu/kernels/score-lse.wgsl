// Pass 1 of selection: for each query the largest score over the windows it sees of the level that normalises, and the sum
// of 2^(score - largest); 0 where it sees none. Workgroups: tile, KV head, part of the windows.
// uses: <cache> window-tile

// [rows, heads, parts]
@group(0) @binding(5) var<storage, read_write> normal: array<vec2f>;

override STAGED: u32 = TILE_STAGED;

const LOWEST = -1e30;

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
  let visible = visible_to(about.y, down);
  var largest = vec4f(LOWEST);
  var sum: vec4f;
  place_queries(thread);
  place_keys(thread, part * share, 0u);
  var slot = 0u;
  for (var first = part * share; first < end; first += KEYS) {
    var scores = score_tile(thread, slot);
    slot = 1u - slot;
    place_keys(thread, first + KEYS, slot);
    scores = masked(scores, vec4u(first + 4u * across) + vec4u(0u, 1u, 2u, 3u), visible);
    let most = max(largest, most_of(scores));
    sum = sum * exp2(largest - most) + sum_of(weights_of(scores, most, LOWEST));
    largest = most;
  }
  let most = largest_across(thread, largest);
  sum = sum_across(thread, sum * exp2(largest - most));
  if across == 0u {
    for (var r = 0u; r < 4u; r++) {
      let row = row_of(down, r);
      if has_query(row) {
        normal[(token_of(row) * params.heads + head_of(row)) * params.parts + part] = vec2f(most[r], sum[r]);
      }
    }
  }
}

// Windows that each of an invocation's queries sees.
fn visible_to(first: i32, down: u32) -> vec4u {
  var visible: vec4u;
  for (var r = 0u; r < 4u; r++) {
    let row = row_of(down, r);
    if has_query(row) {
      visible[r] = window_count(first + i32(row / tile.heads) + 1, params.size, params.stride);
    }
  }
  return visible;
}

fn masked(scores: mat4x4f, window: vec4u, visible: vec4u) -> mat4x4f {
  return mat4x4f(
    select(vec4f(LOWEST), scores[0], window < vec4u(visible[0])),
    select(vec4f(LOWEST), scores[1], window < vec4u(visible[1])),
    select(vec4f(LOWEST), scores[2], window < vec4u(visible[2])),
    select(vec4f(LOWEST), scores[3], window < vec4u(visible[3])),
  );
}
