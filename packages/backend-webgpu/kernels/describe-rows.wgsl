// For each query row: its sequence (-1: none), its absolute position, and the cached tokens of its sequence.

struct Params {
  rows: u32,
  sequences: u32,
  starts_start: u32,
  positions_start: u32,
  lengths_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> starts: array<i32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read> lengths: array<i32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4i>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    // The last sequence that starts at or before the row.
    var low = 0u;
    var high = params.sequences;
    while low + 1u < high {
      let middle = (low + high) / 2u;
      if u32(starts[params.starts_start + middle]) <= row {
        low = middle;
      } else {
        high = middle;
      }
    }
    let first = u32(starts[params.starts_start + low]);
    let end = u32(starts[params.starts_start + low + 1u]);
    if row < first || row >= end {
      rows[row] = vec4i(-1, -1, 0, 0);
    } else {
      let position = positions[params.positions_start + low] + i32(row - first);
      rows[row] = vec4i(i32(low), position, lengths[params.lengths_start + low], 0);
    }
  }
}
