// The rows' keys and values into the pages of their sequences: four numbers an invocation.
// uses: <cache>

struct Params {
  rows: u32,
  first_row: u32,
  kv_heads: u32,
  head_dim: u32,
  block_size: u32,
  k_start: u32,
  k_stride: u32,
  v_start: u32,
  v_stride: u32,
  pages_start: u32,
  pages_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<Element>;
@group(0) @binding(2) var<storage, read> v: array<Element>;
@group(0) @binding(3) var<storage, read> rows: array<vec4i>;
@group(0) @binding(4) var<storage, read> page_table: array<i32>;
@group(0) @binding(5) var<storage, read_write> keys: array<CacheVector>;
@group(0) @binding(6) var<storage, read_write> values: array<CacheVector>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let fours = params.head_dim / 4u;
  let width = params.kv_heads * fours;
  for (var i = id.x; i < params.rows * width; i += groups.x * 64u) {
    let row = i / width;
    let head = i % width / fours;
    let column4 = i % fours;
    let about = rows[params.first_row + row];
    if about.x < 0 {
      continue;
    }
    let position = u32(about.y);
    let page = u32(page_table[params.pages_start + u32(about.x) * params.pages_stride + position / params.block_size]);
    let to = ((page * params.kv_heads + head) * params.block_size + position % params.block_size) * fours + column4;
    let column = head * params.head_dim + 4u * column4;
    let from_k = params.k_start + row * params.k_stride + column;
    let from_v = params.v_start + row * params.v_stride + column;
    keys[to] = to_cache(vec4f(f32(k[from_k]), f32(k[from_k + 1u]), f32(k[from_k + 2u]), f32(k[from_k + 3u])));
    values[to] = to_cache(vec4f(f32(v[from_v]), f32(v[from_v + 1u]), f32(v[from_v + 2u]), f32(v[from_v + 3u])));
  }
}
