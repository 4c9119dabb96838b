// out = x · weightᵀ + bias for many rows and outputs: tiles of 128 by 128, eight by eight an invocation, 16 columns at a
// time. The next columns are loaded while these are multiplied. Workgroups: outputs, rows.
// uses: <weight> fma4

struct Params {
  rows: u32,
  columns: u32,
  outputs: u32,
  weight_pitch: u32,
  x_start4: u32,
  x_stride4: u32,
  out_start: u32,
  out_stride: u32,
  bias_start: u32,
  has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element4>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<Result>;

const TILE = 128u;
const SLICE = 4u;
const ACROSS = 16u;
const THREADS = 256u;

// [column4, row or output], its place mixed with the column against bank conflicts.
var<workgroup> inputs: array<vec4f, 512>;
var<workgroup> matrix: array<vec4f, 512>;

fn slot(index: u32, column4: u32) -> u32 {
  return column4 * TILE + (index ^ (2u * column4));
}

fn input4(row: u32, column4: u32) -> vec4f {
  if row >= params.rows || 4u * column4 >= params.columns {
    return vec4f();
  }
  let values = vec4f(x[params.x_start4 + row * params.x_stride4 + column4]);
  return select(vec4f(), values, vec4u(4u * column4) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.columns));
}

fn matrix4(output: u32, column4: u32) -> vec4f {
  if output >= params.outputs || 4u * column4 >= params.columns {
    return vec4f();
  }
  return weight4(output, column4);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  let first_row = group.y * TILE;
  let first_output = group.x * TILE;
  // What this invocation stages: two fours of x and two of the weight.
  let index = thread / SLICE;
  let column = thread % SLICE;
  var input_a = input4(first_row + index, column);
  var input_b = input4(first_row + index + 64u, column);
  var matrix_a = matrix4(first_output + index, column);
  var matrix_b = matrix4(first_output + index + 64u, column);
  // Rows 8 * down + r; outputs across + 16 * i, the first four in `low`.
  var low: array<vec4f, 8>;
  var high: array<vec4f, 8>;
  for (var first = 0u; 4u * first < params.columns; first += SLICE) {
    workgroupBarrier();
    inputs[slot(index, column)] = input_a;
    inputs[slot(index + 64u, column)] = input_b;
    matrix[slot(index, column)] = matrix_a;
    matrix[slot(index + 64u, column)] = matrix_b;
    workgroupBarrier();
    let next = first + SLICE + column;
    input_a = input4(first_row + index, next);
    input_b = input4(first_row + index + 64u, next);
    matrix_a = matrix4(first_output + index, next);
    matrix_b = matrix4(first_output + index + 64u, next);
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let w0 = matrix[slot(across, column4)];
      let w1 = matrix[slot(across + 16u, column4)];
      let w2 = matrix[slot(across + 32u, column4)];
      let w3 = matrix[slot(across + 48u, column4)];
      let w4 = matrix[slot(across + 64u, column4)];
      let w5 = matrix[slot(across + 80u, column4)];
      let w6 = matrix[slot(across + 96u, column4)];
      let w7 = matrix[slot(across + 112u, column4)];
      for (var r = 0u; r < 8u; r++) {
        let value = inputs[slot(8u * down + r, column4)];
        let a = low[r];
        let b = high[r];
        low[r] = vec4f(fma4(value, w0, a.x), fma4(value, w1, a.y), fma4(value, w2, a.z), fma4(value, w3, a.w));
        high[r] = vec4f(fma4(value, w4, b.x), fma4(value, w5, b.y), fma4(value, w6, b.z), fma4(value, w7, b.w));
      }
    }
  }
  for (var r = 0u; r < 8u; r++) {
    let row = first_row + 8u * down + r;
    for (var i = 0u; i < 4u; i++) {
      store(row, first_output + across + 16u * i, low[r][i]);
      store(row, first_output + across + 16u * (i + 4u), high[r][i]);
    }
  }
}

fn store(row: u32, output: u32, product: f32) {
  if row < params.rows && output < params.outputs {
    var sum = product;
    if params.has_bias != 0u {
      sum += bias[params.bias_start + output];
    }
    out[params.out_start + row * params.out_stride + output] = Result(sum);
  }
}
