// Rows of elements to another place: columns past the source's are filled with zeros.

struct Params {
  rows: u32,
  from_columns: u32,
  to_columns: u32,
  from_start: u32,
  from_stride: u32,
  to_start: u32,
  to_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<Element>;
@group(0) @binding(2) var<storage, read_write> copy: array<Element>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.rows * params.to_columns; i += groups.x * 256u) {
    let row = i / params.to_columns;
    let column = i % params.to_columns;
    var value = Element(0.0);
    if column < params.from_columns {
      value = source[params.from_start + row * params.from_stride + column];
    }
    copy[params.to_start + row * params.to_stride + column] = value;
  }
}
