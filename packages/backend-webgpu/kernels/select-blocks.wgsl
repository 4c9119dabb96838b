// The last step of selection: forced blocks, then the best scores, a tie to the lower block; ascending, -1 padded. A
// workgroup a (row, KV head). Scores are never negative, so their bits, plus one, order them; 0 stands for minus infinity.
// uses: windows

struct Params {
  first_row: u32,
  kv_heads: u32,
  block_size: u32,
  size: u32,
  stride: u32,
  init_blocks: u32,
  local_blocks: u32,
  budget: u32,
  // Of a row of `scored`.
  blocks: u32,
  indices_start: u32,
  indices_capacity: u32,
  pooled_start: u32,
  pooled_capacity: u32,
  // Of a row of `pooled`; 0 where these scores are not wanted.
  pooled_blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4i>;
@group(0) @binding(2) var<storage, read> scored: array<u32>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;
@group(0) @binding(4) var<storage, read_write> pooled: array<u32>;

// More where there are few rows to choose for.
override THREADS: u32 = 64u;
const MINUS_INFINITY = 0xff800000u;

var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> partial: array<u32, 16>;
// Bin of the threshold, and blocks in higher bins.
var<workgroup> found: vec2u;
// Of each invocation's blocks: those above the threshold or forced, and those at it.
var<workgroup> counts: array<vec2u, THREADS>;

// Keys of the first blocks, which every round reads.
const KEPT = 2048u;
var<workgroup> kept: array<u32, KEPT>;

var<private> scores_from: u32;
// Windows that the row sees, and that exist.
var<private> seen: u32;
var<private> existing: u32;

fn key_of(block: u32) -> u32 {
  let first = max(block * (params.block_size / params.stride), 1u) - 1u;
  if first < seen {
    return scored[scores_from + block] + 1u;
  }
  return select(0u, 1u, first < existing);
}

// Keys that are kept, and those past them.
fn key_at(block: u32) -> u32 {
  if block < KEPT {
    return kept[block];
  }
  return key_of(block);
}

// Four loads of an invocation are under way at once.
fn keep_keys(own: u32, thread: u32) {
  let last = min(own, KEPT - 1u);
  for (var block = thread; block <= last; block += 4u * THREADS) {
    let key0 = key_of(block);
    let key1 = key_of(min(block + THREADS, last));
    let key2 = key_of(min(block + 2u * THREADS, last));
    let key3 = key_of(min(block + 3u * THREADS, last));
    kept[block] = key0;
    if block + THREADS <= last {
      kept[block + THREADS] = key1;
    }
    if block + 2u * THREADS <= last {
      kept[block + 2u * THREADS] = key2;
    }
    if block + 3u * THREADS <= last {
      kept[block + 3u * THREADS] = key3;
    }
  }
}

fn is_forced(block: u32, own: u32) -> bool {
  return block < params.init_blocks || block + params.local_blocks >= own;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let about = rows[params.first_row + group.x];
  if about.x < 0 {
    return;
  }
  scores_from = (group.x * params.kv_heads + group.y) * params.blocks;
  seen = window_count(about.y + 1, params.size, params.stride);
  existing = window_count(about.z, params.size, params.stride);
  let own = u32(about.y) / params.block_size;
  let to = params.indices_start + (group.y * params.indices_capacity + params.first_row + group.x) * params.budget;
  if params.pooled_blocks != 0u {
    write_pooled(params.pooled_start + (group.y * params.pooled_capacity + params.first_row + group.x) * params.pooled_blocks, u32(about.z), thread);
  }
  if own + 1u <= params.budget {
    for (var i = thread; i < params.budget; i += THREADS) {
      indices[to + i] = select(-1, i32(i), i <= own);
    }
    return;
  }

  let first_local = max(own, params.local_blocks) - params.local_blocks;
  let forced = min(params.init_blocks, first_local) + own + 1u - first_local;
  let free = params.budget - forced;
  // The largest threshold with at least `free` keys at or above it, eight bits at a time.
  keep_keys(own, thread);
  var threshold = 0u;
  var above = 0u;
  for (var shift = 24; shift >= 0; shift -= 8) {
    for (var i = thread; i < 256u; i += THREADS) {
      atomicStore(&bins[i], 0u);
    }
    workgroupBarrier();
    for (var block = thread; block <= own; block += THREADS) {
      let key = key_at(block);
      // A shift by 32 is none; the highest bits have no bits above them.
      let same = shift == 24 || (key >> u32(min(shift + 8, 31))) == (threshold >> u32(min(shift + 8, 31)));
      if same && !is_forced(block, own) {
        atomicAdd(&bins[(key >> u32(shift)) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if thread < 16u {
      var sum = 0u;
      for (var i = 0u; i < 16u; i++) {
        sum += atomicLoad(&bins[16u * thread + i]);
      }
      partial[thread] = sum;
    }
    workgroupBarrier();
    if thread == 0u {
      var higher = above;
      var bin = 255u;
      while bin >= 16u && higher + partial[bin / 16u] < free {
        higher += partial[bin / 16u];
        bin -= 16u;
      }
      while bin > 0u {
        let here = atomicLoad(&bins[bin]);
        if higher + here >= free {
          break;
        }
        higher += here;
        bin--;
      }
      found = vec2u(bin, higher);
    }
    workgroupBarrier();
    threshold |= found.x << u32(shift);
    above = found.y;
    workgroupBarrier();
  }

  let ties = free - above;
  let share = (own + THREADS) / THREADS;
  let first = thread * share;
  let end = min(own + 1u, first + share);
  var mine = vec2u();
  for (var block = first; block < end; block++) {
    let key = key_at(block);
    if is_forced(block, own) || key > threshold {
      mine.x++;
    } else if key == threshold {
      mine.y++;
    }
  }
  let before = counted_before(thread, mine);
  var tie = before.y;
  var place = before.x + min(ties, before.y);
  for (var block = first; block < end; block++) {
    let key = key_at(block);
    var taken = is_forced(block, own) || key > threshold;
    if !taken && key == threshold {
      taken = tie < ties;
      tie++;
    }
    if taken {
      indices[to + place] = i32(block);
      place++;
    }
  }
}

// The sum of the counts of the invocations before this one: in each round those twice as far away are added.
fn counted_before(thread: u32, mine: vec2u) -> vec2u {
  var sum = mine;
  for (var away = 1u; away < THREADS; away *= 2u) {
    counts[thread] = sum;
    workgroupBarrier();
    if thread >= away {
      sum += counts[thread - away];
    }
    workgroupBarrier();
  }
  return sum - mine;
}

fn write_pooled(to: u32, cached: u32, thread: u32) {
  let blocks = (cached + params.block_size - 1u) / params.block_size;
  for (var block = thread; block < params.pooled_blocks; block += THREADS) {
    var bits = MINUS_INFINITY;
    if block < blocks {
      let key = key_of(block);
      bits = select(key - 1u, MINUS_INFINITY, key == 0u);
    }
    pooled[to + block] = bits;
  }
}
