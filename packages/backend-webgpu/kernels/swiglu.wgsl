// out = gate * sigmoid(gate) * up, with gate and up side by side.

struct Params {
  rows: u32,
  width: u32,
  from_start: u32,
  from_stride: u32,
  out_start: u32,
  out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<Element>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.rows * params.width; i += groups.x * 256u) {
    let row = i / params.width;
    let column = i % params.width;
    let origin = params.from_start + row * params.from_stride + column;
    let gate = f32(gate_up[origin]);
    let up = f32(gate_up[origin + params.width]);
    // Beyond 88 the exponential overflows; the sigmoid is 0 long before.
    let sigmoid = select(1.0 / (1.0 + exp(-max(gate, -88.0))), 0.0, gate < -88.0);
    out[params.out_start + row * params.out_stride + column] = Element(gate * sigmoid * up);
  }
}
