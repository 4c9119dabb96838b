// out[r] = table[ids[r]] * scale for the ids in rows [first_row, end_row) of the table, which this part of it holds.
// uses: <weight>

struct Params {
  rows: u32,
  columns: u32,
  weight_pitch: u32,
  first_row: u32,
  end_row: u32,
  ids_start: u32,
  out_start: u32,
  out_stride: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let fours = (params.columns + 3u) / 4u;
  for (var i = id.x; i < params.rows * fours; i += groups.x * 64u) {
    let row = i / fours;
    let column4 = i % fours;
    let number = u32(ids[params.ids_start + row]);
    if number >= params.first_row && number < params.end_row {
      let values = params.scale * weight4(number - params.first_row, column4);
      let to = params.out_start + row * params.out_stride + 4u * column4;
      for (var c = 0u; c < min(4u, params.columns - 4u * column4); c++) {
        out[to + c] = Element(values[c]);
      }
    }
  }
}
