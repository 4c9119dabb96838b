// Windows that end at the rows' positions: f32 means of their keys, oldest first, into the page of the block that they end
// in. A workgroup a (row, KV head, level); level 0 is fine, 1 coarse.
// uses: <cache>

struct Params {
  first_row: u32,
  kv_heads: u32,
  head_dim: u32,
  block_size: u32,
  kernel_size: u32,
  kernel_stride: u32,
  fine_slots: u32,
  coarse_slots: u32,
  pages_start: u32,
  pages_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4i>;
@group(0) @binding(2) var<storage, read> page_table: array<i32>;
@group(0) @binding(3) var<storage, read> keys: array<CacheVector>;
@group(0) @binding(4) var<storage, read_write> fine: array<CacheVector>;
@group(0) @binding(5) var<storage, read_write> coarse: array<CacheVector>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let about = rows[params.first_row + group.x];
  if about.x < 0 {
    return;
  }
  let factor = select(1u, 4u, group.z == 1u);
  let size = factor * params.kernel_size;
  let stride = factor * params.kernel_stride;
  let end = u32(about.y) + 1u;
  if end < size || (end - size) % stride != 0u {
    return;
  }
  let fours = params.head_dim / 4u;
  let table = params.pages_start + u32(about.x) * params.pages_stride;
  let slots = select(params.fine_slots, params.coarse_slots, group.z == 1u);
  let page = u32(page_table[table + (end - 1u) / params.block_size]);
  let to = ((page * params.kv_heads + group.y) * slots + (end - 1u) % params.block_size / stride) * fours;
  for (var column4 = local.x; column4 < fours; column4 += 32u) {
    var sum = vec4f();
    for (var token = end - size; token < end; token++) {
      let origin = u32(page_table[table + token / params.block_size]);
      sum += from_cache(keys[((origin * params.kv_heads + group.y) * params.block_size + token % params.block_size) * fours + column4]);
    }
    let mean = to_cache(sum / f32(size));
    if group.z == 0u {
      fine[to + column4] = mean;
    } else {
      coarse[to + column4] = mean;
    }
  }
}
